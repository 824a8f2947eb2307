"""What a job costs on this machine: memory counted, time measured, pictures at once."""
