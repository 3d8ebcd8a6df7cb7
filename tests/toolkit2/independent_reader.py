"""Run by the Python of rknncli's environment: what that reader, which nobody here wrote, finds in a .rknn file, as JSON.

It knows the slot of the custom string and not its type: the string is taken from there with flatbuffers.
"""

import json
import sys

from rknncli.parser import RKNNParser

_CUSTOM_STRING = 4 + 2 * 11


def main() -> None:
    parser = RKNNParser(sys.argv[1])
    table = parser.fb_model._tab
    inputs, outputs = parser.get_merged_io_info()
    io = [[{"name": one["url"], "shape": one["size"], **one["quant_info"]} for one in side] for side in (inputs, outputs)]
    found = {
        "target": parser.get_target_platform(),
        "source": parser.fb_model.Source().decode(),
        "inputs": io[0],
        "outputs": io[1],
        "custom_string": table.String(table.Pos + table.Offset(_CUSTOM_STRING)).decode(),
        "nodes": parser._get_graph().NodesLength(),
    }
    print(json.dumps(found))


main()
