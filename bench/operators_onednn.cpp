#include "bench/operators_onednn.h"

#include <omp.h>

#include <cstring>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>

namespace cupel {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;
using Type = memory::data_type;

const dnnl::engine& cpu() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

template <class T>
memory filled(const memory::desc& desc, const std::vector<T>& values) {
  memory m(desc, cpu());
  std::memcpy(m.get_data_handle(), values.data(), values.size() * sizeof(T));
  return m;
}

// `from` in another layout.
memory reordered(const memory& from, const memory::desc& desc) {
  dnnl::stream stream(cpu());
  memory to(desc, cpu());
  dnnl::reorder(from, to).execute(stream, const_cast<memory&>(from), to);
  stream.wait();
  return to;
}

template <class Primitive>
PeerOperator prepared(const typename Primitive::primitive_desc& desc, const char* layout, const memory& x,
                      const memory& weights, const memory& bias, const memory::desc& result_as_read) {
  auto stream = std::make_shared<dnnl::stream>(cpu());
  auto primitive = std::make_shared<Primitive>(desc);
  const memory y(desc.dst_desc(), cpu());
  auto arguments = std::make_shared<std::unordered_map<int, memory>>();
  arguments->emplace(DNNL_ARG_SRC, reordered(x, desc.src_desc()));
  arguments->emplace(DNNL_ARG_WEIGHTS, reordered(weights, desc.weights_desc()));
  arguments->emplace(DNNL_ARG_BIAS, reordered(bias, desc.bias_desc()));
  arguments->emplace(DNNL_ARG_DST, y);
  const auto run = [=] {
    primitive->execute(*stream, *arguments);
    stream->wait();
  };
  const auto read = [=] {
    const memory dense = reordered(y, result_as_read);
    const auto* bytes = static_cast<const uint8_t*>(dense.get_data_handle());
    return std::vector<uint8_t>(bytes, bytes + result_as_read.get_size());
  };
  return {layout, desc.impl_info_str(), run, read};
}

}  // namespace

std::vector<PeerOperator> peer_operators(const OperatorShape& s, const OperatorContent& content) {
  dnnl::primitive_attr attributes;
  attributes.set_output_scales(1 << 1, content.multipliers);
  const memory::desc bias_desc =
      s.width > 0 ? memory::desc({1, s.out}, Type::s32, Tag::ab) : memory::desc({s.out}, Type::s32, Tag::a);
  const memory bias = filled(bias_desc, content.bias);
  std::vector<PeerOperator> operators;
  if (s.width > 0) {
    const memory::desc x_desc({s.width, s.in}, Type::u8, Tag::ab), y_desc({s.width, s.out}, Type::u8, Tag::ab),
        w_desc({s.in, s.out}, Type::s8, Tag::ab);
    const memory x = filled(x_desc, content.x), w = filled(w_desc, content.weights);
    for (const bool any : {false, true}) {
      const Tag tag = any ? Tag::any : Tag::ab;
      const dnnl::matmul::desc desc(memory::desc(x_desc.dims(), Type::u8, tag),
                                    memory::desc(w_desc.dims(), Type::s8, Tag::any), bias_desc,
                                    memory::desc(y_desc.dims(), Type::u8, tag));
      operators.push_back(prepared<dnnl::matmul>({desc, attributes, cpu()}, any ? "any" : "dense", x, w, bias, y_desc));
    }
    return operators;
  }
  const int64_t side = s.size * s.stride, pad = s.kernel / 2;  // every shape keeps ceil(side / stride) pixels
  const int64_t behind = (s.size - 1) * s.stride + s.kernel - side - pad;
  const memory::desc x_desc({1, s.in, side, side}, Type::u8, Tag::nchw),
      y_desc({1, s.out, s.size, s.size}, Type::u8, Tag::nchw),
      w_desc = s.depthwise ? memory::desc({s.out, 1, 1, s.kernel, s.kernel}, Type::s8, Tag::goihw)
                           : memory::desc({s.out, s.in, s.kernel, s.kernel}, Type::s8, Tag::oihw);
  const memory x = filled(x_desc, content.x), w = filled(w_desc, content.weights);
  for (const bool any : {false, true}) {
    const Tag tag = any ? Tag::any : Tag::nhwc;
    const dnnl::convolution_forward::desc desc(
        dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct,
        memory::desc(x_desc.dims(), Type::u8, tag), memory::desc(w_desc.dims(), Type::s8, Tag::any), bias_desc,
        memory::desc(y_desc.dims(), Type::u8, tag), {s.stride, s.stride}, {pad, pad}, {behind, behind});
    operators.push_back(
        prepared<dnnl::convolution_forward>({desc, attributes, cpu()}, any ? "any" : "nhwc", x, w, bias, y_desc));
  }
  return operators;
}

void set_peer_threads(int threads) { omp_set_num_threads(threads); }

std::string peer_version() {
  const dnnl_version_t* v = dnnl_version();
  return "oneDNN " + std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
}

}  // namespace cupel
