"""What happens with what a client sends: C{dispatch} finds the handler of each command that is not just forwarded."""
