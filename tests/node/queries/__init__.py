"""Questions of clients, answered from rows."""
