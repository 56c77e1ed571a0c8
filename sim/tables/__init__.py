"""What people's own tables of numbers become: games and bargaining problems."""
