"""What the calls of a process share for each server and key."""
