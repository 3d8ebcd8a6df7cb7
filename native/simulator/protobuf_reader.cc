#include "simulator/protobuf_reader.h"

#include "abi/rknn_api.h"
#include "simulator/failure.h"

namespace rknn_ep::simulator::protobuf {

void invalid(const std::string& reason) { throw Failure(RKNN_ERR_MODEL_INVALID, "simulation model: " + reason); }

}  // namespace rknn_ep::simulator::protobuf
