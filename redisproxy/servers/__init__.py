"""What the proxy asks Redis servers about their state and tells them in a switchover, beside the clients' connections."""
