from google.api import annotations_pb2 as _annotations_pb2
from protocol.pb.spacemesh.v1 import tx_types_pb2 as _tx_types_pb2
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor
