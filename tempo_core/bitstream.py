"""The few bits of containers and coded pictures that libavformat does not tell, or tells wrongly."""

import re
from collections.abc import Iterator, Sequence
from os import SEEK_END

HEVC_RANDOM_ACCESS = range(16, 22)  # BLA, IDR and CRA pictures (ITU-T H.265, table 7-1)
H264_IDR, H264_SEI = 5, 6
H264_SLICES = range(1, 6)
HEVC_SLICES = range(32)
SEI_RECOVERY_POINT = 6
MAX_BOXES = 1000
START_CODE = b"\0\0\1"
HEAD_BYTES = 1 << 20
EBML_HEAD, SEGMENT = bytes.fromhex("1a45dfa3"), bytes.fromhex("18538067")  # RFC 8794 8.1.1, RFC 9559 5.1
FLV_HEADER = re.compile(rb"FLV\x01[\x01\x04\x05]\0\0\0\x09")
FLV_HEADER_BYTES = 9
FLV_TAGS = (8, 9, 18)  # sound, picture, data
ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
GIF_TRAILER = 0x3B


def is_hidden(codec: str, packet: memoryview) -> bool:
    """Whether a VP8 or VP9 packet only feeds later pictures and is never shown itself.

    RFC 6386 section 9.1; VP9 bitstream specification 6.2 and annex B. Other codecs never hide a whole packet.
    """
    first, last = packet[0], packet[-1]
    if codec == "vp8":
        return not first & 0x10
    if codec == "vp9":
        superframe, profile_3, shows_existing = last & 0xE0 == 0xC0, first & 0x30 == 0x30, first & 0x08
        return not (superframe or profile_3 or shows_existing or first & 0x02)
    return False


def length_bytes(codec: str, extradata: bytes | None) -> int:
    """Bytes of the length before each NAL unit (ISO/IEC 14496-15); 0 where start codes part them."""
    record = extradata or b""
    position = {"h264": 4, "hevc": 21}.get(codec)
    if position is None or len(record) <= position or record[0] != 1:
        return 0
    return (record[position] & 3) + 1


def is_soft_key(codec: str, packet: memoryview, length_size: int) -> bool:
    """Whether a packet marked as a key picture does not stand alone, so that decoding from it starts damaged.

    H.264: no IDR slice, and no recovery point that is reached at once (ITU-T H.264 7.4.1 and D.2.8). HEVC: no random
    access picture. Other codecs' keys are believed.
    """
    if codec == "h264":
        units = list(_units(packet, length_size))
        kinds = [unit[0] & 31 for unit in units]
        return H264_IDR not in kinds and not any(
            kind == H264_SEI and _recovers_at_once(unit) for kind, unit in zip(kinds, units, strict=True)
        )
    if codec == "hevc":
        return not any((unit[0] >> 1) & 63 in HEVC_RANDOM_ACCESS for unit in _units(packet, length_size))
    return False


def referral(codec: str, packet: memoryview, length_size: int) -> tuple[bool, int]:
    """Whether other pictures of its temporal layer may be predicted from a packet's picture, and that layer.

    A picture that none refers to can be left out without a change to any other: H.264's slices of nal_ref_idc 0 (ITU-T
    H.264 7.4.1), HEVC's sub-layer non-reference pictures (H.265 7.4.2.2), which only higher layers may use, and the B
    pictures of MPEG-1, MPEG-2 and MPEG-4 part 2. Every other codec's are taken as referred to: what VP9 learns from a
    picture goes on into the next even when its samples do not.
    """
    if codec == "h264":
        marks = [unit[0] >> 5 & 3 for unit in _units(packet, length_size) if unit[0] & 31 in H264_SLICES]
        return not marks or any(marks), 0
    if codec == "hevc":
        heads = [bytes(unit[:2]) for unit in _units(packet, length_size) if unit[0] >> 1 & 63 in HEVC_SLICES]
        kinds = [head[0] >> 1 & 63 for head in heads]
        layer = max(((head[-1] & 7) - 1 for head in heads), default=0)
        return not kinds or any(kind % 2 or kind >= 16 for kind in kinds), layer
    if codec in ("mpeg1video", "mpeg2video"):
        return any(unit[0] == 0 and unit[2] >> 3 & 7 != 3 for unit in _units(packet, 0) if len(unit) > 2), 0
    if codec == "mpeg4":
        return any(unit[0] == 0xB6 and unit[1] >> 6 != 2 for unit in _units(packet, 0) if len(unit) > 1), 0
    return True, 0


def _units(packet: memoryview, length_size: int) -> Iterator[memoryview]:
    """The NAL units of a packet, after start codes (`length_size` 0) or after their lengths."""
    if length_size:
        position = 0
        while position + length_size < len(packet):
            start = position + length_size
            position = start + int.from_bytes(packet[position:start], "big")
            if unit := packet[start:position]:
                yield unit
        return
    data = bytes(packet)
    start = data.find(START_CODE)
    while start >= 0:
        after = data.find(START_CODE, start + 3)
        if unit := packet[start + 3 : after if after >= 0 else len(data)]:
            yield unit
        start = after


def _recovers_at_once(unit: memoryview) -> bool:
    """Whether an SEI unit holds a recovery point with recovery_frame_cnt 0, which is coded as a first bit of 1."""
    position = 1
    while position + 2 < len(unit):
        kind, position = _sum_of_bytes(unit, position)
        size, position = _sum_of_bytes(unit, position)
        if kind == SEI_RECOVERY_POINT and position < len(unit):
            return bool(unit[position] & 0x80)
        position += size
    return False


def _sum_of_bytes(unit: memoryview, position: int) -> tuple[int, int]:
    """An SEI number (bytes of 255 and a last one, added up) and the position after it."""
    total = 0
    while position < len(unit):
        total += unit[position]
        position += 1
        if unit[position - 1] != 255:
            break
    return total, position


def top_boxes(file: str) -> list[bytes]:
    """The kinds of an MP4's outermost boxes, in file order, without their contents (ISO/IEC 14496-12 4.2)."""
    kinds: list[bytes] = []
    with open(file, "rb") as stream:
        position, end = 0, stream.seek(0, SEEK_END)
        while position + 8 <= end and len(kinds) < MAX_BOXES:
            stream.seek(position)
            head = stream.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            kinds.append(head[4:8])
            if length < 8:  # 0: to the end of the file; the rest cannot be
                break
            position += length
    return kinds


def is_truncated(file: str, demuxer: str) -> bool:
    """Whether a Matroska, AVI, WMV, FLV or GIF file ends before its own structure does.

    An unknown size, as in what was written while it was sent, says nothing. Other containers: False.
    """
    with open(file, "rb") as stream:
        size = stream.seek(0, SEEK_END)
        stream.seek(0)
        head = stream.read(min(size, HEAD_BYTES))
        stream.seek(max(0, size - HEAD_BYTES))
        tail = stream.read()
        if demuxer == "matroska":
            return _segment_end(head) > size
        if demuxer == "avi":
            return int.from_bytes(head[4:8], "little") + 8 > size
        if demuxer == "asf":
            place = head.find(ASF_FILE_PROPERTIES)
            return place >= 0 and int.from_bytes(head[place + 40 : place + 48], "little") > size
        if demuxer == "gif":
            return not tail.rstrip(b"\0").endswith(bytes([GIF_TRAILER]))
        if demuxer == "flv":  # each tag is followed by its size (FLV specification 10.1, annex E)
            tag_size = int.from_bytes(tail[-4:], "big")
            if not 11 <= tag_size <= size - 4:
                return True
            stream.seek(size - 4 - tag_size)
            tag = stream.read(4)
            return tag[0] not in FLV_TAGS or int.from_bytes(tag[1:4], "big") + 11 != tag_size
    return False


def _segment_end(head: bytes) -> int:
    """Where a Matroska file's segment ends by its own word; 0 where it does not say."""
    if head[:4] != EBML_HEAD or len(head) < 32:
        return 0
    length, start = _ebml_size(head, 4)
    place = start + (length or 0)
    if head[place : place + 4] != SEGMENT:
        return 0
    length, start = _ebml_size(head, place + 4)
    return 0 if length is None else start + length


def _ebml_size(head: bytes, place: int) -> tuple[int | None, int]:
    """An element's size, None for the unknown one, and where its data begins (RFC 8794 section 4)."""
    if place >= len(head) or not head[place]:
        return None, place
    width = 9 - head[place].bit_length()
    value = int.from_bytes(head[place : place + width], "big") & ((1 << 7 * width) - 1)
    return None if value == (1 << 7 * width) - 1 else value, place + width


def recording_count(file: str, demuxer: str, boxes: Sequence[bytes]) -> int:
    """Whole recordings, one behind the other, in an MP4 (`boxes`: its outermost) or FLV file. Other containers: 1."""
    if demuxer == "mov":
        return max(1, boxes.count(b"moov"))
    if demuxer != "flv":
        return 1
    count, edge = 0, b""
    with open(file, "rb") as stream:
        while part := stream.read(HEAD_BYTES):
            count += len(FLV_HEADER.findall(edge + part))
            edge = part[1 - FLV_HEADER_BYTES :]
    return max(1, count)


def is_scrambled(file: str) -> bool:
    """Whether a transport stream's packets are encrypted, by their own bits (ISO/IEC 13818-1 2.4.3.3)."""
    with open(file, "rb") as stream:
        head = stream.read(HEAD_BYTES)
    for first, length in ((0, 188), (4, 192)):
        headers = [head[place : place + 4] for place in range(first, len(head) - 3, length)]
        if headers and all(header[0] == 0x47 for header in headers):
            return 10 * sum(bool(header[3] & 0xC0) for header in headers) > len(headers)
    return False
