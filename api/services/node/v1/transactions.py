"""`TransactionService`: transactions handed in, what they mean, what becomes of them. Specified in protocol 10-api,
sections 3.4 and 9.

Better than the reference: a stream of states begins with what is known, and says PROCESSED when tortoise has confirmed
the layer; who was refused here is remembered for a while, and is REJECTED, not unknown.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from google.protobuf.message import Message

from api.edge.rpc import Failed, Headers, Method, Status
from api.services.node.backend import Backend
from api.services.node.events import LayerStatus, LayerUpdated, TransactionAdded, TransactionDone
from api.services.node.reading import reading
from api.services.node.transactions import Transactions
from node.ledger import state as ledger
from node.mempool.tables import HELD, IN_BLOCK
from node.queries import transactions as queries
from node.queries.pages import Layers
from node.queries.transactions import KnownTransaction, State
from node.store.view import Span, View
from protocol.pb.google.rpc import status_pb2
from protocol.pb.spacemesh.v1 import tx_types_pb2 as pb
from protocol.pb.spacemesh.v1 import types_pb2
from protocol.types.ids import Address, LayerId, TransactionId
