"""Messages between the pool and one worker, over a socket pair that keeps their bounds.

A message is one packet (``SOCK_SEQPACKET``): it is sent whole or not at all, so neither side can be stuck in half of
one, and it is received by exactly one reader. The pool keeps a handle on the worker's end too: a message that the
worker has not received yet can be taken back from there, and the kernel decides who gets it. What is larger than a
packet, and every large buffer, travels in a block of shared memory that the packet names.

Layout: a head (kind, flags, number of spans, block, message number), the spans of the out-of-band buffers in that
block, the pickled body. Where these do not fit in a packet they stand in the block, and the packet holds their span.
"""

from __future__ import annotations

import _socket
import os
import sys
from _struct import Struct

from corewise.builtin.spawn.blocks import Attachments, Block, BlockStore, aligned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["INLINE", "Channel", "Kind", "Message", "Received", "socket_pair"]

INLINE = 1 << 16  # bytes of one packet: four of them fit in the send buffer that Linux grants everyone
_SEND_BUFFER = 1 << 20
_HEAD = Struct("<BBHIQ")
_SPAN = Struct("<QQ")
_OUTSIZED = 1
_PRIVATE = 2  # mapped copy-on-write
_ONCE = 4  # forgotten by the receiver once the message is read: the block is never used for another
_DESCRIPTOR_SPACE = _socket.CMSG_SPACE(4)


class Kind:
    """What a message is about."""

    BEGIN = 1  # to the worker: who it is, where it runs
    KEEP = 2  # a callable, kept under the message's number
    CHUNK = 3  # items for one kept callable
    TASKS = 4  # calls of kept callables, each with its own arguments
    STOP = 5  # end in good order
    DONE = 6  # from the worker: what running a message gave
    REFUSED = 7  # it could not start: the exception
    RECORD = 8  # a log record
    NEWS = 9  # to the worker: what the pool needs no more


class Message:
    """A message ready to be sent, and the block that its large parts stand in."""

    __slots__ = ("block", "data", "flags", "number")

    def __init__(self, number: int, data: bytes, block: Block | None = None, flags: int = 0) -> None:
        self.number: int = number
        self.data: bytes = data
        self.block: Block | None = block
        self.flags: int = flags

    def given_away(self) -> bool:
        """Whether its block is the receiver's for good, so that the sender closes it."""
        return self.block is not None and self.flags & (_ONCE | _PRIVATE) == _ONCE


class Received:
    """A message that has arrived. The body is valid until the next one is received.

    ``block`` is the number of a block that holds the body and nothing else, to be given back once it is read.
    """

    __slots__ = ("block", "body", "buffers", "kind", "number")

    def __init__(self, kind: int, number: int, body: memoryview, buffers: list[memoryview], block: int) -> None:
        self.kind: int = kind
        self.number: int = number
        self.body: memoryview[int] = body
        self.buffers: list[memoryview[int]] = buffers
        self.block: int = block


def socket_pair() -> tuple[_socket.socket, _socket.socket]:
    """Make the two ends of a worker's connection."""
    ends = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0)
    for end in ends:
        end.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDBUF, _SEND_BUFFER)
    return ends


def pack(
    store: BlockStore,
    kind: int,
    number: int,
    body: bytes,
    buffers: Sequence[Any] = (),
    *,
    private: bool = False,
) -> Message:
    """Lay out a message; its large parts are copied to a block of the store.

    Args:
        store: Where the block comes from.
        kind: One of ``Kind``.
        number: Number of the message.
        body: The pickled body.
        buffers: Out-of-band buffers (``pickle.PickleBuffer``).
        private: The block serves many receivers, is mapped copy-on-write and never recycled.
    """
    flags = _PRIVATE | _ONCE if private else 0 if store.lends() else _ONCE
    if not buffers and len(body) + _HEAD.size <= INLINE:
        return Message(number, _HEAD.pack(kind, 0, 0, 0, number) + body)
    views = [buffer.raw() for buffer in buffers]
    spans, end = _spans(views)
    rest = b"".join([*(_SPAN.pack(*span) for span in spans), body])
    outsized = len(rest) + _HEAD.size > INLINE or len(views) > 0xFFFF
    block = store.take(end + (len(rest) if outsized else 0), recycle=not flags)
    parts: list[tuple[int, memoryview]] = [(offset, view) for (offset, _), view in zip(spans, views, strict=True)]
    outsize = 0
    if outsized:
        parts.append((end, memoryview(rest)))
        rest = _SPAN.pack(end, len(body)) + _SPAN.pack(len(views), 0)
        outsize = _OUTSIZED
    try:
        block.fill(parts, keep=not flags)
    except BaseException:
        store.discard(block.number)
        block.close()
        raise
    head = _HEAD.pack(kind, flags | outsize, 0 if outsized else len(views), block.number, number)
    return Message(number, head + rest, block, flags)


def _spans(views: Sequence[memoryview]) -> tuple[list[tuple[int, int]], int]:
    spans, end = [], 0
    for view in views:
        spans.append((end, len(view)))
        end += aligned(len(view))
    return spans, end


class Channel:
    """One end of a connection: sends messages, receives them and maps the blocks that they name.

    One thread at a time may receive. Sending a message is one system call, so threads need no lock to send; ``known``
    (which blocks the other side has mapped) is touched only by senders of messages with blocks, one at a time.
    """

    __slots__ = ("_buffer", "_view", "attachments", "known", "sock")

    def __init__(self, sock: _socket.socket) -> None:
        self.sock: _socket.socket = sock
        self.known: set[int] = set()
        self.attachments: Attachments = Attachments()
        self._buffer = bytearray(INLINE)
        self._view = memoryview(self._buffer)

    def send(self, message: Message) -> None:
        """Send a message; on a non-blocking socket ``BlockingIOError`` says that it was not sent."""
        block = message.block
        if block is None or block.number in self.known:
            self.sock.send(message.data)
            return
        descriptor = block.fd.to_bytes(4, sys.byteorder)
        self.sock.sendmsg([message.data], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptor)])
        if message.given_away():
            block.close()
        elif not message.flags & _ONCE:
            self.known.add(block.number)

    def receive(self, flags: int = 0) -> Received | None:
        """Receive one message; None when the other side is gone."""
        size, ancillary, _, _ = self.sock.recvmsg_into([self._buffer], _DESCRIPTOR_SPACE, flags)
        if size == 0:
            return None
        kind, marks, count, block, number = _HEAD.unpack_from(self._buffer)
        for fd in _descriptors(ancillary):
            self.attachments.attach(block, fd, private=bool(marks & _PRIVATE))
        rest = self._view[_HEAD.size : size]
        if marks & _OUTSIZED:
            offset, length = _SPAN.unpack_from(rest)
            count, _ = _SPAN.unpack_from(rest, _SPAN.size)
            rest = self.attachments.view(block, offset, count * _SPAN.size + length)
        spans = [_SPAN.unpack_from(rest, place * _SPAN.size) for place in range(count)]
        once = bool(marks & _ONCE)
        buffers = self.attachments.buffers(block, spans, lent=not once) if spans else []
        if once:
            self.attachments.forget([block])
        lone = 0 if spans or once else block
        return Received(kind, number, rest[count * _SPAN.size :], buffers, lone)

    def take_back(self) -> int | None:
        """Receive a message only to drop it; returns its number, None where no message waits.

        The block that came with it is unknown to the other side again.
        """
        try:
            size, ancillary, _, _ = self.sock.recvmsg_into([self._buffer], _DESCRIPTOR_SPACE, _socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        if size == 0:
            return None
        _, _, _, block, number = _HEAD.unpack_from(self._buffer)
        for fd in _descriptors(ancillary):
            os.close(fd)
            self.known.discard(block)
        return int(number)


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    return [int.from_bytes(data[:4], sys.byteorder) for _, _, data in ancillary]
