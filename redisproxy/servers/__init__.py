"""What Redis servers are asked about their state and told in a switchover, beside the clients' connections."""
