#include "driver/engine.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "base/file.h"
#include "driver/shared_library.h"
#include "ir/text.h"
#include "reference/interpreter.h"

namespace cupel {
namespace {

using testing::ElementsAre;

// What tests/runtime/sample_image.cpp computes, as a graph; its value inner is inside a kernel.
const Graph& sample_graph() {
  static const Graph graph = [] {
    auto parsed = parse_graph(R"(graph "sample" stage imported opset 17 {
  input %x : f32[batch,2,3]
  input %bias : f32[3]
  constant %two : f32[] = [0x1p+1]
  constant %ten : f32[] = [0x1.4p+3]
  constant %weights : f32[3] = [0x1.9p+6, 0x1.9p+7, 0x1.2cp+8]
  constant %axes : s64[2] = [1, 2]
  %scaled = Mul(%x, %two)
  %codes = QuantizeLinear(%scaled) {dtype="u8", scale=reals [0x1p-1], zero_point=[10]}
  %inner = Add(%scaled, %bias)
  %y = Add(%inner, %weights)
  %doubled = Mul(%scaled, %two)
  %raised = Add(%doubled, %ten)
  %whole = Cast(%raised) {to=6}
  %total = ReduceSum(%whole, %axes) {keepdims=0}
  output %y
  output %total
})");
    EXPECT_TRUE(parsed) << parsed.error().message();
    return parsed ? std::move(*parsed) : Graph();
  }();
  return graph;
}

std::vector<Tensor> sample_inputs(int64_t batch) {
  Tensor x(DType::f32, {batch, 2, 3});
  for (int64_t i = 0; i < x.size(); ++i)
    x.mutable_data<float>()[static_cast<size_t>(i)] = 0.25f * static_cast<float>(i % 40);
  return {x, Tensor::of<float>({3}, {0.5f, 1.5f, 2.5f})};
}

CompiledModel loaded(const std::string& path, int threads = 2) {
  auto model = CompiledModel::load_file(path, threads);
  if (!model) {
    ADD_FAILURE() << model.error().message();
    std::abort();
  }
  return std::move(*model);
}

Bytes bytes_of(const std::string& path) {
  auto content = read_file(path);
  EXPECT_TRUE(content) << content.error().message();
  return content ? std::move(*content) : Bytes();
}

std::map<std::string, Tensor> taps_of(const RunGraph& run, const Graph& graph, std::span<const Tensor> inputs) {
  std::map<std::string, Tensor> seen;
  const auto outputs = run(graph, inputs, [&](ValueId id, const Tensor& t) -> Status {
    EXPECT_TRUE(seen.emplace(graph.value(id).name, t).second);
    return {};
  });
  EXPECT_TRUE(outputs) << outputs.error().message();
  return seen;
}

TEST(CompiledModel, EqualsTheInterpreter) {
  ThreadPool pool(2);
  for (int threads = 1; threads <= 4; ++threads) {
    CompiledModel model = loaded(CUPEL_SAMPLE_LIBRARY, threads);
    EXPECT_STREQ(model.image().model, "sample");
    for (int64_t batch : {1, 3, 2, 50}) {
      const auto inputs = sample_inputs(batch);
      const auto expected = interpret(sample_graph(), inputs, pool);
      ASSERT_TRUE(expected) << expected.error().message();
      const auto by_ports = model.run(inputs);
      const auto by_graph = compiled(model)(sample_graph(), inputs, {});
      ASSERT_TRUE(by_ports && by_graph);
      EXPECT_EQ(*by_ports, *expected);
      EXPECT_EQ(*by_graph, *expected);
    }
    EXPECT_EQ(model.arena_bytes(), 448 * 50);
  }
}

TEST(CompiledModel, ABoundRunIsRepeated) {
  CompiledModel model = loaded(CUPEL_SAMPLE_LIBRARY);
  const auto inputs = sample_inputs(3);
  auto bound = model.bind(inputs);
  ASSERT_TRUE(bound) << bound.error().message();
  EXPECT_EQ(bound->batch(), 3);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(bound->run());
    EXPECT_EQ(bound->outputs(), model.run(inputs));
    EXPECT_TRUE(model.run(sample_inputs(7)));  // other runs of the model may come between
  }
  EXPECT_EQ(model.bind({}).error().kind, ErrorKind::bad_input);
}

TEST(CompiledModel, TapsGiveWhatTheInterpreterGives) {
  ThreadPool pool(2);
  CompiledModel model = loaded(CUPEL_SAMPLE_LIBRARY);
  const auto inputs = sample_inputs(3);
  auto expected = taps_of(interpreter(pool), sample_graph(), inputs);
  const auto seen = taps_of(compiled(model), sample_graph(), inputs);
  for (const char* inside : {"inner", "doubled", "raised", "whole", "total"})
    EXPECT_EQ(expected.erase(inside), 1u) << inside;
  EXPECT_EQ(seen, expected);

  std::vector<std::string> names;
  const auto outputs = model.run(inputs, [&](const CupelImageResult& result, const Tensor& t) -> Status {
    names.emplace_back(fmt::format("{} {}{} {} {}", result.value_name, dtype_name(t.dtype()), to_text(t.dims()),
                                   result.scale, result.zero_point));
    return {};
  });
  ASSERT_TRUE(outputs);
  EXPECT_THAT(names, ElementsAre("scaled f32[3,2,3] 0 0", "codes u8[3,2,3] 0.5 10", "y f32[3,2,3] 0 0"));
}

TEST(CompiledModel, CodesKeptAsU8AreS8WhereTheGraphSaysSo) {
  auto text = print_graph(sample_graph());
  const auto replace = [&](const std::string& from, const std::string& to) {
    for (size_t at; (at = text.find(from)) != std::string::npos;) text.replace(at, from.size(), to);
  };
  replace("dtype=\"u8\"", "dtype=\"s8\"");
  replace("zero_point=[10]", "zero_point=[-118]");
  replace(": u8[batch,2,3]", ": s8[batch,2,3]");
  const auto graph = parse_graph(text);
  ASSERT_TRUE(graph) << graph.error().message();
  ThreadPool pool(1);
  CompiledModel model = loaded(CUPEL_SAMPLE_LIBRARY);
  const auto expected = taps_of(interpreter(pool), *graph, sample_inputs(2)),
             seen = taps_of(compiled(model), *graph, sample_inputs(2));
  EXPECT_EQ(seen.at("codes").dtype(), DType::s8);
  EXPECT_EQ(seen.at("codes"), expected.at("codes"));
}

TEST(CompiledModel, AFixedBatchIsTheOnlyOne) {
  CompiledModel model = loaded(CUPEL_FIXED_LIBRARY), any = loaded(CUPEL_SAMPLE_LIBRARY);
  const auto result = model.run(sample_inputs(3));
  ASSERT_TRUE(result);
  EXPECT_EQ(*result, any.run(sample_inputs(3)));
  const auto refused = model.run(sample_inputs(2));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message(),
            "input x: found f32[2,2,3], expected f32[3,2,3]\n  give data of the model's type and shape");
}

TEST(CompiledModel, ATapsFirstErrorIsTheResult) {
  CompiledModel model = loaded(CUPEL_SAMPLE_LIBRARY);
  const auto inputs = sample_inputs(1);
  int calls = 0;
  const auto result = model.run(inputs, [&](const CupelImageResult&, const Tensor&) -> Status {
    ++calls;
    return bad_input("tap", fmt::format("call {}", calls), "none");
  });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message(), "tap: call 1\n  none");
  EXPECT_EQ(calls, 1);
  const auto thrown =
      model.run(inputs, [&](const CupelImageResult&, const Tensor&) -> Status { throw std::bad_alloc(); });
  ASSERT_FALSE(thrown);
  EXPECT_EQ(thrown.error().kind, ErrorKind::resource);
  EXPECT_TRUE(model.run(inputs));
}

TEST(CompiledModel, TimersSeeEveryStep) {
  CompiledModel model = loaded(CUPEL_SAMPLE_LIBRARY);
  std::vector<std::string> steps;
  model.set_timer([&](const CupelImageStep& step, int64_t time_ns) {
    EXPECT_GE(time_ns, 0);
    steps.emplace_back(step.origins);
  });
  CompiledModel moved = std::move(model);
  ASSERT_TRUE(moved.run(sample_inputs(2)));
  EXPECT_THAT(steps, ElementsAre("Mul_0", "Quantize_1", "Add_2\nAdd_3", "Sum_4"));
  moved.set_timer({});
  ASSERT_TRUE(moved.run(sample_inputs(2)));
  EXPECT_EQ(steps.size(), 4u);
}

TEST(CompiledModel, RefusesInputsThatDoNotFit) {
  CompiledModel model = loaded(CUPEL_SAMPLE_LIBRARY);
  const auto error_of = [&](std::vector<Tensor> inputs) -> std::string {
    const auto result = model.run(inputs);
    if (result) return "no error";
    EXPECT_EQ(result.error().kind, ErrorKind::bad_input);
    return result.error().message();
  };
  const std::string remedy = "\n  give data of the model's type and shape";
  const Tensor x(DType::f32, {2, 2, 3}), bias(DType::f32, {3});
  EXPECT_EQ(error_of({x, bias}), "no error");
  EXPECT_EQ(error_of({x}), "inputs: 1 tensors are given, the model has 2 inputs\n  give one tensor for each input");
  EXPECT_EQ(error_of({Tensor(DType::u8, {2, 2, 3}), bias}),
            "input x: found u8[2,2,3], expected f32[batch,2,3]" + remedy);
  EXPECT_EQ(error_of({Tensor(DType::f32, {2, 6}), bias}), "input x: found f32[2,6], expected f32[batch,2,3]" + remedy);
  EXPECT_EQ(error_of({Tensor(DType::f32, {2, 3, 2}), bias}),
            "input x: found f32[2,3,2], expected f32[batch,2,3]" + remedy);
  EXPECT_EQ(error_of({Tensor(DType::f32, {0, 2, 3}), bias}),
            "input x: found f32[0,2,3], expected f32[batch,2,3]" + remedy);
  EXPECT_EQ(error_of({x, Tensor(DType::f32, {2})}), "input bias: found f32[2], expected f32[3]" + remedy);
  EXPECT_EQ(error_of({x, Tensor(DType::f32, {})}), "input bias: found f32[], expected f32[3]" + remedy);
  // Through a graph, its own words.
  const auto result = compiled(model)(sample_graph(), std::vector<Tensor>{bias, bias}, {});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().message(), "input x: found f32[3], expected f32[batch,2,3]" + remedy);
}

TEST(CompiledModel, RefusesAGraphOfOtherNames) {
  CompiledModel model = loaded(CUPEL_SAMPLE_LIBRARY);
  const auto other = parse_graph(R"(graph "other" stage imported opset 17 {
  input %x : f32[batch,2,3]
  input %b : f32[3]
  %y = Add(%x, %b)
  output %y
  output %x
})");
  ASSERT_TRUE(other) << other.error().message();
  const auto result = compiled(model)(*other, sample_inputs(1), {});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, ErrorKind::internal);
  EXPECT_EQ(result.error().message(),
            "image of sample: its input 1 is bias, in the graph it is b\n  this is a defect of Cupel; please report it "
            "with the model");
}

TEST(CompiledModel, SeveralModelsAtOnce) {
  const Bytes sample = bytes_of(CUPEL_SAMPLE_LIBRARY), tripled = bytes_of(CUPEL_TRIPLED_LIBRARY);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller)
    callers.emplace_back([&, caller] {
      for (int round = 0; round < 20; ++round) {
        // The same library twice, and another: each has its own memory.
        auto a = CompiledModel::load(sample, "a", 1 + caller % 2), b = CompiledModel::load(tripled, "b", 2),
             c = CompiledModel::load(sample, "c", 1);
        if (!a || !b || !c || &a->image() == &c->image()) {
          ++wrong;
          continue;
        }
        const auto inputs = sample_inputs(2);
        const auto ya = a->run(inputs), yb = b->run(inputs), yc = c->run(inputs);
        if (!ya || !yb || !yc || !(*ya == *yc)) {
          ++wrong;
          continue;
        }
        for (int64_t i = 0; i < 12; ++i)
          if ((*yb)[0].at(i) - (*ya)[0].at(i) != inputs[0].at(i)) ++wrong;
      }
    });
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
}

TEST(CompiledModel, ManyAreLoadedAndUnloaded) {
  std::vector<CompiledModel> models;
  for (int i = 0; i < 100; ++i) models.push_back(loaded(i % 2 == 0 ? CUPEL_SAMPLE_LIBRARY : CUPEL_TRIPLED_LIBRARY, 1));
  for (CompiledModel& model : models) ASSERT_TRUE(model.run(sample_inputs(1)));
}

int64_t mapped_images() {
  std::ifstream maps("/proc/self/maps");
  int64_t count = 0;
  for (std::string line; std::getline(maps, line);) count += line.find("cupel-image") != std::string::npos;
  return count;
}

TEST(CompiledModel, IsUnloadedByItsDestructor) {
  ASSERT_EQ(mapped_images(), 0);
  const auto open_files = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
  };
  const auto before = open_files();
  {
    CompiledModel first = loaded(CUPEL_SAMPLE_LIBRARY), second = loaded(CUPEL_TRIPLED_LIBRARY);
    EXPECT_GT(mapped_images(), 0);
    second = std::move(first);
    ASSERT_TRUE(second.run(sample_inputs(1)));
  }
  EXPECT_EQ(mapped_images(), 0);
  EXPECT_EQ(open_files(), before);
}

std::string error_of_file(const std::string& path, ErrorKind kind) {
  const auto model = CompiledModel::load_file(path, 1);
  if (model) return "no error";
  EXPECT_EQ(model.error().kind, kind) << model.error().message();
  return model.error().message();
}

std::string error_of_bytes(std::span<const std::byte> bytes, ErrorKind kind) {
  const auto model = CompiledModel::load(bytes, "m.so", 1);
  if (model) return "no error";
  EXPECT_EQ(model.error().kind, kind) << model.error().message();
  return model.error().message();
}

TEST(CompiledModel, RefusesImagesItCannotRun) {
  EXPECT_EQ(error_of_file(CUPEL_LACKING_LIBRARY, ErrorKind::unsupported),
            std::string(CUPEL_LACKING_LIBRARY) +
                ": the CPU lacks none-such\n  compile the model for a target that this machine runs");
  EXPECT_EQ(
      error_of_file(CUPEL_FUTURE_LIBRARY, ErrorKind::bad_input),
      std::string(CUPEL_FUTURE_LIBRARY) +
          ": the image has tables of version 99, expected 5\n  compile the model again with this version of Cupel");
  EXPECT_EQ(
      error_of_file(CUPEL_CONTRADICTING_LIBRARY, ErrorKind::bad_input),
      std::string(CUPEL_CONTRADICTING_LIBRARY) + ": its tables contradict each other at y\n  compile the model again");
  EXPECT_EQ(error_of_file("no such file", ErrorKind::bad_input),
            "no such file: cannot be opened: No such file or directory\n  check the file and its permissions");
  EXPECT_EQ(error_of_file("/proc", ErrorKind::bad_input), "/proc: is not a regular file\n  name a file");
  const auto zero_threads = CompiledModel::load_file(CUPEL_SAMPLE_LIBRARY, 0);
  ASSERT_FALSE(zero_threads);
  EXPECT_EQ(zero_threads.error().kind, ErrorKind::internal);
}

TEST(CompiledModel, RefusesDamagedLibraries) {
  const Bytes whole = bytes_of(CUPEL_SAMPLE_LIBRARY);
  EXPECT_EQ(error_of_bytes({}, ErrorKind::bad_input),
            "m.so: is empty, expected a shared library\n  compile the model again");
  EXPECT_EQ(error_of_bytes(std::as_bytes(std::span("not a library")), ErrorKind::bad_input),
            "m.so: is not a shared library of 64 bits\n  compile the model again");
  for (size_t size : {size_t{1}, size_t{63}})
    EXPECT_EQ(error_of_bytes(std::span(whole).first(size), ErrorKind::bad_input),
              "m.so: is not a shared library of 64 bits\n  compile the model again");
  for (size_t size = 64; size < whole.size(); size += whole.size() / 50)
    EXPECT_EQ(error_of_bytes(std::span(whole).first(size), ErrorKind::bad_input),
              "m.so: is cut off: its headers name bytes beyond its end\n  compile the model again")
        << size;
  Bytes other = whole;
  other[18] = std::byte{183};
  other[19] = std::byte{0};
#if defined(__x86_64__)
  EXPECT_EQ(error_of_bytes(other, ErrorKind::unsupported),
            "m.so: is for ELF machine 183, expected 62 (x86-64)\n  compile the model for this machine");
#endif
  Bytes renamed = whole;
  const std::string name = "cupel_sample_image";
  for (size_t at = 0; at + name.size() < renamed.size(); ++at)
    if (std::memcmp(renamed.data() + at, name.data(), name.size()) == 0)
      std::memcpy(renamed.data() + at, "cupel_sample_other", name.size());
  EXPECT_EQ(error_of_bytes(renamed, ErrorKind::bad_input),
            "m.so: is a shared library without a compiled model: no symbol cupel_<model>_image\n  name a file that "
            "cupel compile has written");
}

// A file in a folder of its own, which goes with it.
class FileOf {
 public:
  explicit FileOf(const std::string& name) {
    std::string path = (std::filesystem::temp_directory_path() / "cupel-engine-XXXXXX").string();
    EXPECT_NE(mkdtemp(path.data()), nullptr);
    path_ = std::filesystem::path(path) / name;
  }
  FileOf(const std::string& name, std::span<const std::byte> content) : FileOf(name) {
    EXPECT_TRUE(write_file(path_, content));
  }
  ~FileOf() { std::filesystem::remove_all(path_.parent_path()); }
  FileOf(const FileOf&) = delete;
  FileOf& operator=(const FileOf&) = delete;
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

TEST(CompiledModel, OfAFileIsCheckedBeforeItsCodeRuns) {
  const FileOf trace("trace");
  setenv("CUPEL_TRACE", trace.path().c_str(), 1);
  EXPECT_EQ(
      error_of_file(CUPEL_PLANTED_LIBRARY, ErrorKind::bad_input),
      std::string(CUPEL_PLANTED_LIBRARY) +
          ": is a shared library without Cupel's note, so it is not run\n  name a file that `cupel compile` wrote, "
          "and compile the model again where an earlier version did");
  EXPECT_FALSE(std::filesystem::exists(trace.path()));
  // By itself the library does leave its trace.
  EXPECT_FALSE(CompiledModel::load(bytes_of(CUPEL_PLANTED_LIBRARY), "planted.so", 1));
  EXPECT_TRUE(std::filesystem::exists(trace.path()));
  unsetenv("CUPEL_TRACE");
}

TEST(CompiledModel, OfAFileIsRefusedWhenAnyByteHasChanged) {
  const Bytes whole = bytes_of(CUPEL_SAMPLE_LIBRARY);
  EXPECT_TRUE(CompiledModel::load_file(FileOf("m.so", whole).path(), 1));
  for (size_t at = 0; at < whole.size(); at += 1 + whole.size() / 400) {
    Bytes changed = whole;
    changed[at] ^= std::byte{0x10};
    const FileOf file("m.so", changed);
    EXPECT_NE(error_of_file(file.path(), ErrorKind::bad_input), "no error") << at;
  }
  for (size_t size = 0; size < whole.size(); size += 1 + whole.size() / 60) {
    const FileOf file("m.so", std::span(whole).first(size));
    EXPECT_NE(error_of_file(file.path(), ErrorKind::bad_input), "no error") << size;
  }
}

TEST(CompiledModel, IsNamedByItsEnding) {
  for (const char* name : {"m.so", "folder/m.so", "m.onnx.so", "/m.so"})
    EXPECT_TRUE(names_compiled_model(name)) << name;
  for (const char* name : {"m.onnx", "m", "m.so.1", "so", ".so", "m.so/m", "m.SO", ""})
    EXPECT_FALSE(names_compiled_model(name)) << name;
}

}  // namespace
}  // namespace cupel
