"""A GGUF file of a type that is slow on a processor, written again in one that is not."""

from __future__ import annotations

from pathlib import Path

from chidu.runs.record import open_whole

__all__ = ["SLOW", "write_q8"]

SLOW = "Q4_1"
"""llama.cpp has no kernel for it that computes many texts at once; 8 bits hold its 16 levels with little loss."""
MOSTLY_Q8 = 7
"""What `general.file_type` says of a file whose matrices are Q8_0."""


def write_q8(path: Path, to: Path) -> None:
    """Write a file again, its matrices of the slow type in Q8_0, and all else as it is."""
    from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, quants

    Q8_0 = GGMLQuantizationType.Q8_0
    read = GGUFReader(path)
    with open_whole(to) as file:
        writer = GGUFWriter(Path(file.name), str(read.fields["general.architecture"].contents()))
        for name, field in read.fields.items():
            if name == "general.architecture" or name.startswith("GGUF."):
                continue  # the writer says these
            inner = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
            value = MOSTLY_Q8 if name == "general.file_type" else field.contents()
            writer.add_key_value(name, value, field.types[0], sub_type=inner)
        for each in read.tensors:
            data, kind = each.data, each.tensor_type
            if kind.name == SLOW:
                data, kind = quants.quantize(quants.dequantize(data, kind), Q8_0), Q8_0
            writer.add_tensor(each.name, data, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
