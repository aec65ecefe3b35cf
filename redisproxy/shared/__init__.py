"""What all clients of a process share: who there is, scripts, cursors, blocked commands that wait, notifications."""
