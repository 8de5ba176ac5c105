"""The node: state machines of consensus and the ledger, without sockets or a terminal."""
