// Field numbers of the protocol buffer messages in an ONNX file (onnx.proto, IR version 11).
#pragma once

#include <cstdint>

namespace cupel::onnx_field {

namespace model {
inline constexpr uint32_t ir_version = 1, producer_name = 2, producer_version = 3, graph = 7, opset_import = 8,
                          training = 20, functions = 25;
}
namespace opset {
inline constexpr uint32_t domain = 1, version = 2;
}
namespace graph {
inline constexpr uint32_t node = 1, name = 2, initializer = 5, input = 11, output = 12, sparse_initializer = 15;
}
namespace node {
inline constexpr uint32_t input = 1, output = 2, name = 3, op_type = 4, attribute = 5, domain = 7;
}
namespace attribute {
inline constexpr uint32_t name = 1, f = 2, i = 3, s = 4, t = 5, g = 6, floats = 7, ints = 8, strings = 9, tensors = 10,
                          graphs = 11, tp = 14, type_protos = 15, type = 20, ref_attr_name = 21, sparse_tensor = 22,
                          sparse_tensors = 23;
}
namespace attribute_type {
inline constexpr int32_t undefined = 0, real = 1, integer = 2, text = 3, tensor = 4, graph = 5, reals = 6, integers = 7,
                         texts = 8;
}
namespace value {
inline constexpr uint32_t name = 1, type = 2;
}
namespace type {
inline constexpr uint32_t tensor = 1, sequence = 4, map = 5, opaque = 7, sparse_tensor = 8, optional = 9;
}
namespace tensor_type {
inline constexpr uint32_t elem_type = 1, shape = 2;
}
namespace shape {
inline constexpr uint32_t dim = 1;
}
namespace dim {
inline constexpr uint32_t value = 1, param = 2;
}
namespace tensor {
inline constexpr uint32_t dims = 1, data_type = 2, segment = 3, float_data = 4, int32_data = 5, string_data = 6,
                          int64_data = 7, name = 8, raw_data = 9, double_data = 10, uint64_data = 11,
                          external_data = 13, data_location = 14;
}
namespace entry {
inline constexpr uint32_t key = 1, value = 2;
}

}  // namespace cupel::onnx_field
