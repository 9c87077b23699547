// ONNX files in which some integer attribute is near a limit of 32 or 64 bits: every attribute that the row of the op
// has, in the files of all op samples and in the forms that operators had in older opsets. What comes is a sound
// Program or an error that says whose fault it is; under the sanitizers also: nothing overflows on the way.
#include <gtest/gtest.h>

#include <array>
#include <protozero/pbf_reader.hpp>
#include <string>
#include <vector>

#include "driver/compile.h"
#include "kernel/check_program.h"
#include "lower/lower.h"
#include "onnx/model_builder.h"
#include "onnx/writer.h"
#include "reference/samples.h"

namespace cupel {
namespace {

constexpr std::array<int64_t, 6> kHostile = {INT64_MIN, INT32_MIN, -1, INT32_MAX, int64_t{1} << 31, INT64_MAX};

// The message with `change` applied to each of its fields of that number.
template <class Change>
std::string rewritten(std::string_view message, uint32_t field, Change&& change) {
  std::string out;
  protozero::pbf_writer writer(out);
  for (protozero::pbf_reader reader(message.data(), message.size()); reader.next();) {
    const uint32_t tag = reader.tag();
    switch (reader.wire_type()) {
      case protozero::pbf_wire_type::varint: writer.add_uint64(tag, reader.get_uint64()); break;
      case protozero::pbf_wire_type::fixed32: writer.add_fixed32(tag, reader.get_fixed32()); break;
      case protozero::pbf_wire_type::fixed64: writer.add_fixed64(tag, reader.get_fixed64()); break;
      default: {
        const auto view = reader.get_view();
        const std::string_view content(view.data(), view.size());
        writer.add_message(tag, tag == field ? change(content) : std::string(content));
      }
    }
  }
  return out;
}

std::string text_field(std::string_view message, uint32_t field) {
  for (protozero::pbf_reader reader(message.data(), message.size()); reader.next(); reader.skip())
    if (reader.tag() == field) return reader.get_string();
  return {};
}

// The file in which every node of that op has this attribute, whatever it had.
std::string with_attribute(const std::string& file, std::string_view op, const std::string& name,
                           const Attribute& attribute) {
  namespace f = onnx_field;
  return rewritten(file, f::model::graph, [&](std::string_view graph) {
    return rewritten(graph, f::graph::node, [&](std::string_view node) {
      if (text_field(node, f::node::op_type) != op) return std::string(node);
      std::string out;
      {
        protozero::pbf_writer writer(out);
        for (protozero::pbf_reader reader(node.data(), node.size()); reader.next();) {
          const uint32_t tag = reader.tag();
          const auto view = reader.get_view();
          const std::string_view content(view.data(), view.size());
          if (tag != f::node::attribute || text_field(content, f::attribute::name) != name)
            writer.add_message(tag, std::string(content));
        }
        ModelBuilder::attribute(writer, name, attribute);
      }
      return out;
    });
  });
}

// Values of an attribute with hostile numbers in it; `now` is what the node has, or null.
std::vector<Attribute> hostile_values(AttributeKind kind, const Attribute* now) {
  std::vector<Attribute> values;
  if (kind == AttributeKind::integer) values.assign(kHostile.begin(), kHostile.end());
  if (kind != AttributeKind::integers) return values;
  using Integers = std::vector<int64_t>;
  std::vector<Integers> lists = {{1}, {1, 1}, {1, 1, 1, 1}};
  if (now) lists = {std::get<Integers>(*now)};
  for (const Integers& list : lists)
    for (const int64_t hostile : kHostile) {
      for (size_t i = 0; i < list.size(); ++i) {
        Integers changed = list;
        changed[i] = hostile;
        values.emplace_back(std::move(changed));
      }
      values.emplace_back(Integers(list.size(), hostile));
    }
  return values;
}

class HostileFiles : public testing::Test {
 protected:
  void follow(const std::string& file, const std::string& what) {
    ++files;
    CompileContext context{threads, {}};
    const auto model = load_model_bytes(std::as_bytes(std::span(file)), "no-such-folder/hostile.onnx", context);
    if (!model) return expect_blame(model.error(), what);
    ++models;
    const auto lowered = lower_graph(model->program, "hostile", {});
    if (!lowered) return expect_blame(lowered.error(), what);
    const Status sound = check_program(lowered->program);
    EXPECT_TRUE(sound) << sound.error().message() << "\n" << what;
    ++programs;
  }

  static void expect_blame(const Error& error, const std::string& what) {
    EXPECT_NE(error.kind, ErrorKind::internal) << error.message() << "\n" << what;
    EXPECT_NE(error.kind, ErrorKind::usage) << error.message() << "\n" << what;
    EXPECT_FALSE(error.remedy.empty()) << error.message() << "\n" << what;
  }

  ThreadPool threads{1};
  int files = 0, models = 0, programs = 0;
};

TEST_F(HostileFiles, EveryIntegerAttributeOfEverySample) {
  for (const samples::Sample& sample : samples::all_samples()) {
    if (sample.graph.stage != Stage::imported) continue;
    const auto file = onnx_bytes(sample.graph);
    if (!file) continue;
    const Attributes& now = sample.graph.nodes()[0].attributes;
    for (const AttributeSpec& spec : sample.op->attributes) {
      const auto found = now.find(spec.name);
      for (const Attribute& value : hostile_values(spec.kind, found == now.end() ? nullptr : &found->second)) {
        follow(with_attribute(*file, sample.op->name, std::string(spec.name), value),
               print_graph(sample.graph) + std::string(spec.name));
        ASSERT_FALSE(HasFailure());
      }
    }
  }
  EXPECT_GT(files, 2000);
  EXPECT_GT(models, 100);
  EXPECT_GT(programs, 50);
}

// Attributes that later became operands.
TEST_F(HostileFiles, EveryIntegerAttributeOfOlderForms) {
  struct Form {
    std::string op;
    int64_t opset;
    Attributes attributes;
    std::vector<std::string> outputs = {"y"};
  };
  using Integers = std::vector<int64_t>;
  const std::vector<Form> forms = {
      {"Squeeze", 11, {{"axes", Integers{0}}}},
      {"Unsqueeze", 11, {{"axes", Integers{0, 2}}}},
      {"Slice", 9, {{"axes", Integers{1, 2}}, {"starts", Integers{0, 1}}, {"ends", Integers{2, 3}}}},
      {"Split", 11, {{"axis", int64_t{2}}, {"split", Integers{1, 3}}}, {"y", "z"}},
      {"Pad", 10, {{"pads", Integers{0, 0, 1, 1, 0, 0, 2, 0}}}},
      {"ReduceSum", 11, {{"axes", Integers{1, 2}}, {"keepdims", int64_t{1}}}},
      {"ReduceMean", 11, {{"axes", Integers{1, 2}}, {"keepdims", int64_t{0}}}},
      {"Softmax", 11, {{"axis", int64_t{1}}}},
      {"LogSoftmax", 11, {{"axis", int64_t{1}}}},
      {"Flatten", 9, {{"axis", int64_t{2}}}},
  };
  for (const Form& form : forms)
    for (const auto& [name, now] : form.attributes) {
      const bool list = std::holds_alternative<Integers>(now);
      for (const Attribute& value : hostile_values(list ? AttributeKind::integers : AttributeKind::integer, &now)) {
        Attributes attributes = form.attributes;
        attributes.insert_or_assign(name, value);
        ModelBuilder model(form.opset);
        model.input("x", {1, 3, 4, 4}).node(form.op, {"x"}, form.outputs, attributes).output("y");
        follow(model.bytes(), form.op + " " + name);
        ASSERT_FALSE(HasFailure());
      }
    }
  EXPECT_GT(files, 200);
  EXPECT_GT(programs, 20);
}

}  // namespace
}  // namespace cupel
