#include "report/report.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "report/html.h"
#include "report/wording.h"
#include "sample_report.h"

namespace cupel {
namespace {

using json = nlohmann::ordered_json;

size_t occurrences(const std::string& text, std::string_view part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

void gather_numbers(const json& value, std::set<double>& numbers) {
  if (value.is_number()) numbers.insert(value.get<double>());
  if (value.is_structured())
    for (const json& child : value) gather_numbers(child, numbers);
}

std::string without(const std::string& text, std::string_view open, std::string_view close) {
  std::string out;
  size_t at = 0;
  for (;;) {
    const size_t begin = text.find(open, at);
    if (begin == std::string::npos) return out + text.substr(at);
    out += text.substr(at, begin - at) + " ";
    at = text.find(close, begin);
    if (at == std::string::npos) return out;
    at += close.size();
  }
}

// Every start tag has its end tag, in order. Attribute values never hold '<' or '>' because they are escaped.
void expect_well_formed(const std::string& page) {
  static const std::set<std::string> kVoid = {"meta", "br", "wbr"};
  std::vector<std::string> open;
  const std::string body = without(without(page, "<style>", "</style>"), "<script>", "</script>");
  const std::regex tag("<(/?)([a-z0-9!]+)([^<>]*)>");
  size_t tags = 0;
  for (std::sregex_iterator at(body.begin(), body.end(), tag), end; at != end; ++at, ++tags) {
    const std::string name = (*at)[2];
    if (name[0] == '!' || kVoid.contains(name)) continue;
    if ((*at)[1].length() == 0) {
      open.push_back(name);
      EXPECT_EQ(occurrences((*at)[3], "\"") % 2, 0u) << at->str();
    } else {
      ASSERT_FALSE(open.empty()) << at->str();
      ASSERT_EQ(open.back(), name);
      open.pop_back();
    }
  }
  EXPECT_TRUE(open.empty());
  EXPECT_EQ(tags, occurrences(body, "<")) << "a '<' that opens no tag";
}

// An output of 5 numbers; INT8 is off by `error` everywhere.
OutputComparison sample_output(const std::string& name, float error) {
  const auto item = [](int sample, float off) {
    Tensor t(DType::f32, {5});
    for (size_t i = 0; i < 5; ++i)
      t.mutable_data<float>()[i] = std::sin(static_cast<float>(sample) + 1.3f * static_cast<float>(i)) + off;
    return item_of(t);
  };
  OutputJudge judge(name, item(0, 0), 1, false);
  for (int i = 0; i < 30; ++i) {
    const Item candidate = item(i, error);
    judge.add(item(i, 0), std::span(&candidate, 1)).value();
  }
  return judge.finish();
}

// A model without labels, with two outputs.
Report label_free_report() {
  Report r = sample_report();
  r.accuracy.clear();
  r.outputs = {sample_output("boxes", 0.05f), sample_output("scores", 0)};
  return r;
}

// Worse by 0.4 dB of PSNR.
TaskMetric sample_task() {
  TaskMetric task{find_metric("psnr"), "large", "pictures", {{"range", 1}}, kDefaultConfidence, {}};
  std::vector<SampleParts> parts(2);
  for (int i = 0; i < 40; ++i)
    for (size_t m = 0; m < 2; ++m) parts[m].add(std::vector{30 + std::sin(i) - 0.4 * static_cast<double>(m)});
  task.result = summarize(*task.metric, parts, task.settings);
  return task;
}

Report full_report() {
  Report r = sample_report();
  r.tasks = {sample_task()};
  r.outputs = label_free_report().outputs;
  r.requirements = {judged_requirement(parse_requirement("sqnr>=20").value(), "boxes", "INT8",
                                       r.outputs[0].metrics[1].result.models[0])};
  r.warnings = {{Severity::note, "3 nodes share one scale"},
                {Severity::deviation, "2,000 of 10,000 samples were used (--limit 2000)"},
                {Severity::caution, "the machine was busy"}};
  LatencyRow row;
  row.round_medians_us = {100.5, 101.25, 99};
  row.median_us = 100.5;
  row.p90_us = 101.1;
  row.p95_us = 101.175;
  row.p99_us = 101.235;
  row.median_interval_us = {99, 101.25};
  row.items_per_second = 9950.25;
  row.arena_bytes = 123'456;
  row.constants_bytes = 700'001;
  r.latency = {Latency{.batch = 1, .threads = 1, .models = {row, row}},
               Latency{.batch = 50, .threads = 2, .models = {row, row}}};
  SpeedComparison speed{.rounds = 12, .ratio = 0.5, .interval = {0.48, 0.52}, .coverage = 0.96};
  speed.verdict = SpeedVerdict::faster;
  for (Latency& latency : r.latency) latency.models[1].to_base = speed;
  r.models[0].peak_memory_bytes = 3'000'000;
  r.models[1].peak_memory_bytes = 900'000;
  return r;
}

TEST(Json, FollowsTheSchema) {
  const std::string text = to_json(sample_report());
  EXPECT_EQ(text.back(), '\n');
  const json report = json::parse(text);
  std::vector<std::string> keys;
  for (const auto& [key, value] : report.items()) keys.push_back(key);
  EXPECT_EQ(keys, (std::vector<std::string>{"schema_version", "title", "provenance", "models", "accuracy", "layers",
                                            "sensitivity", "warnings"}));
  EXPECT_EQ(report["schema_version"], 1);
  EXPECT_EQ(report["models"][1]["weights_bytes"], 284'906);
  EXPECT_DOUBLE_EQ(report["models"][1]["relative_change"]["weights_bytes"], 284'906.0 / 1'118'248 - 1);
  const json& comparison = report["accuracy"][0]["comparisons"][0];
  EXPECT_EQ(comparison["headline"], "INT8 stays within the allowed loss");
  EXPECT_DOUBLE_EQ(comparison["difference"], -0.0013);
  EXPECT_EQ(comparison["flips"].dump(),
            R"({"right_to_wrong":40,"wrong_to_right":27,"wrong_to_other_wrong":33,"changed_predictions":100})");
  EXPECT_EQ(comparison["verdict"]["kind"], "within");
  EXPECT_EQ(report["layers"]["nodes"].size(), 22u);
  const json& budget = report["layers"]["nodes"][3]["budget"];
  EXPECT_DOUBLE_EQ(budget["noise_power"].get<double>(), 0.004);
  EXPECT_DOUBLE_EQ(budget["parts"]["clipping"]["share"].get<double>(), 0.09);
  EXPECT_NEAR(budget["interaction"]["share"].get<double>(), 1 - 0.03 * 28, 1e-12);
  EXPECT_EQ(report["layers"]["nodes"][3]["sensitivity"]["only"]["flips"]["changed_predictions"], 6);
  EXPECT_EQ(report["sensitivity"]["all"]["sqnr_db"], 30.75);
  EXPECT_FALSE(report["layers"]["nodes"][20].contains("budget"));
  EXPECT_TRUE(report["layers"]["nodes"][0]["error"]["sqnr_db"].is_null());
  EXPECT_EQ(report["layers"]["nodes"][0]["error"]["identical"], true);
  EXPECT_FALSE(report["layers"]["nodes"][21].contains("error"));
  EXPECT_EQ(report["layers"]["nodes"][0]["kernel"], "0_contract_u8_s8_u8_m28n16");
  EXPECT_FALSE(report["layers"]["nodes"][21].contains("kernel"));
  EXPECT_EQ(report["provenance"]["command_line"],
            "cupel assay models/fashion_resnet.onnx --data 'models/fashion mnist.toml' -o assay");
  EXPECT_EQ(report["provenance"]["dataset"]["splits"][0]["dropped"], 1);
  EXPECT_TRUE(report["warnings"].empty());
}

TEST(Json, HoldsTheSpeed) {
  const json report = json::parse(to_json(full_report()));
  ASSERT_EQ(report["latency"].size(), 2u);
  EXPECT_EQ(report["latency"][1]["batch"], 50);
  const json& models = report["latency"][0]["models"];
  EXPECT_EQ(models[0]["round_medians_us"].dump(), "[100.5,101.25,99.0]");
  EXPECT_EQ(models[0]["throughput_items_per_s"], 9950.25);
  EXPECT_EQ(models[1]["to_base"]["ratio"], 0.5);
  EXPECT_EQ(models[1]["to_base"]["verdict"], "faster");
  EXPECT_EQ(models[1]["speed_up"], 2);
  EXPECT_DOUBLE_EQ(models[1]["speed_up_interval"]["lower"], 1 / 0.52);
  EXPECT_FALSE(models[0].contains("to_base"));
  EXPECT_EQ(report["warnings"][1]["severity"], "deviation");
}

TEST(Json, HoldsTheOutputs) {
  const json report = json::parse(to_json(label_free_report()));
  ASSERT_EQ(report["outputs"].size(), 2u);
  const json& boxes = report["outputs"][0];
  EXPECT_EQ(boxes["output"], "boxes");
  EXPECT_EQ(boxes["item"], "f32 [5], taken for scores of classes");
  EXPECT_EQ(boxes["samples"], 30);
  EXPECT_EQ(boxes["non_finite"].dump(), R"([{"model":"FP32","samples":0},{"model":"INT8","samples":0}])");
  const json& sqnr = boxes["metrics"][1];
  EXPECT_EQ(sqnr["metric"], "sqnr");
  EXPECT_EQ(sqnr["unit"], "dB");
  EXPECT_EQ(sqnr["better"], "higher");
  EXPECT_EQ(sqnr["candidates"][0]["interval_method"], "BCa bootstrap");
  const json& same = report["outputs"][1]["metrics"][1]["candidates"][0];
  EXPECT_TRUE(same["value"].is_null());
  EXPECT_EQ(same["infinite"], true);
  EXPECT_EQ(report["models"][1]["headline"], "INT8 agrees with FP32 on 100.00 % of the samples in output boxes");
  EXPECT_TRUE(report["accuracy"].empty());
}

TEST(Text, SaysHowCloseOutputsAreWithoutLabels) {
  Report report = label_free_report();
  EXPECT_NE(verdict_text(report).find("\n  boxes            INT8 agreement 100.00 % [88.65, 100.00], SQNR "),
            std::string::npos)
      << verdict_text(report);
  EXPECT_NE(verdict_text(report).find("\n  scores           INT8 agreement 100.00 % [88.65, 100.00], SQNR identical, "),
            std::string::npos);
  const auto headline_of = [&] { return headline(report, 0); };
  std::erase_if(report.outputs[0].metrics, [](const OutputMetric& m) { return m.metric->name == "agreement"; });
  report.outputs.pop_back();
  EXPECT_TRUE(headline_of().starts_with("INT8 differs from FP32 by ")) << headline_of();
  MetricValue& sqnr = report.outputs[0].metrics[0].result.models[0];
  sqnr.value = std::numeric_limits<double>::infinity();
  EXPECT_EQ(headline_of(), "INT8 gives the same as FP32");
  sqnr.value = std::nan("");
  EXPECT_EQ(headline_of(), "INT8 gives no numbers that FP32's could be compared with");
}

TEST(Json, HoldsTaskMetrics) {
  const json report = json::parse(to_json(full_report()));
  const json& task = report["task_metrics"][0];
  EXPECT_EQ(task["metric"], "psnr");
  EXPECT_EQ(task["settings"].dump(), R"({"range":1.0})");
  EXPECT_EQ(task["models"].size(), 2u);
  EXPECT_NEAR(task["comparisons"][0]["difference"].get<double>(), -0.4, 1e-12);
  EXPECT_EQ(task["comparisons"][0]["verdict"], "worse");
  EXPECT_NEAR(task["comparisons"][0]["difference_interval"]["upper"].get<double>(), -0.4, 1e-9);
}

TEST(Text, SaysWhatATaskMetricLoses) {
  Report report = label_free_report();
  report.tasks = {sample_task()};
  EXPECT_EQ(headline(report, 0), "INT8 is worse by 0.4 dB in PSNR");
  EXPECT_NE(
      verdict_text(report).find("\n  PSNR             FP32 30.0 dB  INT8 29.6 dB (-0.4 dB [-0.4, -0.4]; worse)\n"),
      std::string::npos)
      << verdict_text(report);
  EXPECT_EQ(verdict_text(report).find("\n  boxes"), std::string::npos);
  report.tasks[0].result.differences[0].value = 0;
  EXPECT_EQ(headline(report, 0), "INT8 has the same PSNR as FP32");
}

TEST(Gates, OneThatIsNotMetFails) {
  Report report = full_report();
  EXPECT_TRUE(passes_gates(report));
  report.requirements[0].kind = VerdictKind::undecided;
  EXPECT_FALSE(passes_gates(report));
  report = full_report();
  report.accuracy[0].comparisons[0].verdict->kind = VerdictKind::missed;
  EXPECT_FALSE(passes_gates(report));
  EXPECT_TRUE(passes_gates(label_free_report()));
}

TEST(Text, SaysWhatIsLostAndHowFastItRuns) {
  Report report = full_report();
  const auto headline_of = [&] {
    const std::string text = verdict_text(report), line = text.substr(0, text.find('\n'));
    return line.substr(line.find(": ") + 2);
  };
  EXPECT_EQ(headline_of(), "INT8 stays within the allowed loss and runs 2 times as fast");
  EXPECT_NE(verdict_text(report).find(
                "latency          FP32 100 us  INT8 100 us (2 times as fast [1.92, 2.08]), batch 1, 1 thread\n"),
            std::string::npos)
      << verdict_text(report);
  SpeedComparison& speed = *report.latency[0].models[1].to_base;
  speed.verdict = SpeedVerdict::slower;
  speed.ratio = 1.25;
  EXPECT_EQ(headline_of(), "INT8 stays within the allowed loss and takes 1.25 times as long");
  speed.verdict = SpeedVerdict::no_difference_shown;
  EXPECT_EQ(headline_of(), "INT8 stays within the allowed loss and is not shown to run faster or slower");
}

TEST(Json, HoldsNoInfinityAndNoNan) {
  Report r = sample_report();
  r.layers[1].error->sqnr_db = -std::numeric_limits<double>::infinity();
  r.layers[1].error->cosine = std::nan("");
  const json row = json::parse(to_json(r))["layers"]["nodes"][1];
  EXPECT_TRUE(row["error"]["sqnr_db"].is_null());
  EXPECT_EQ(row["error"]["identical"], false);
  EXPECT_TRUE(row["error"]["cosine"].is_null());
  EXPECT_EQ(to_html(r).find("value=\"nan\""), std::string::npos);
  EXPECT_EQ(to_html(r).find("value=\"-inf\""), std::string::npos);
}

TEST(Report, EqualReportsGiveEqualBytes) {
  EXPECT_EQ(to_json(full_report()), to_json(full_report()));
  EXPECT_EQ(to_html(full_report()), to_html(full_report()));
  EXPECT_EQ(verdict_text(full_report()), verdict_text(full_report()));
}

void expect_numbers_of_the_json(const Report& report) {
  const std::string page = to_html(report);
  const std::string text = to_json(report);
  std::set<double> numbers;
  gather_numbers(json::parse(text), numbers);
  const std::regex data("<data value=\"([^\"]*)\">");
  size_t count = 0;
  for (std::sregex_iterator at(page.begin(), page.end(), data), end; at != end; ++at, ++count)
    EXPECT_TRUE(numbers.contains(std::stod((*at)[1]))) << at->str();
  EXPECT_GT(count, 100u);
  // Outside of <data>, digits stand only in words that the JSON holds as text, or that are the page's own wording.
  std::string rest = page.substr(page.find("<body>"));
  rest = without(without(without(rest, "<script>", "</script>"), "<data ", "</data>"), "<svg", "</svg>");
  rest = std::regex_replace(rest, std::regex("<wbr>"), "");
  rest = std::regex_replace(without(rest, "<", ">"), std::regex("&[#a-z0-9]+;"), " ");
  const std::set<std::string> own = {"6", "p90", "p95", "p99"};  // "6 dB less is twice the error", column heads
  const std::regex word("[^ \\n]*[0-9][^ \\n]*");
  for (std::sregex_iterator at(rest.begin(), rest.end(), word), end; at != end; ++at) {
    std::string found = at->str();
    while (!found.empty() && std::string_view(".,:;()").find(found.back()) != std::string_view::npos) found.pop_back();
    EXPECT_TRUE(own.contains(found) || text.find(found) != std::string::npos) << found;
  }
}

TEST(Html, ShowsNoNumberThatTheJsonLacks) {
  expect_numbers_of_the_json(full_report());
  Report report = label_free_report();
  expect_numbers_of_the_json(report);
  report.tasks = {sample_task()};
  expect_numbers_of_the_json(report);
}

TEST(Html, LoadsNothing) {
  const std::string page = to_html(full_report());
  for (const char* part :
       {"http:", "https:", "src=", "href=", "url(", "@import", "<link", "<img", "<iframe", "fetch(", "eval("})
    EXPECT_EQ(page.find(part), std::string::npos) << part;
  EXPECT_NE(page.find("default-src 'none'"), std::string::npos);
  EXPECT_EQ(occurrences(page, "<script>"), 1u);
}

TEST(Html, ScriptHashIsBase64OfSha256) {
  EXPECT_EQ(html::script_hash("alert('Hello, world.');"), "qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng=");
}

TEST(Html, IsWellFormed) {
  expect_well_formed(to_html(sample_report()));
  expect_well_formed(to_html(full_report()));
  expect_well_formed(to_html(Report{}));
  expect_well_formed(to_html(label_free_report()));
  Report one = sample_report();
  one.models.resize(1);
  one.accuracy[0].models.resize(1);
  one.accuracy[0].comparisons.clear();
  expect_well_formed(to_html(one));
  EXPECT_NE(to_html(one).find("FP32 is right on 93.33&nbsp;% of the samples"), std::string::npos);
  Report three = sample_report();
  three.models.push_back(three.models[1]);
  three.models[2].name = "INT4";
  three.accuracy[0].models.push_back(three.accuracy[0].models[1]);
  three.accuracy[0].comparisons.push_back(three.accuracy[0].comparisons[0]);
  expect_well_formed(to_html(three));
  EXPECT_NE(to_html(three).find("INT4 stays within the allowed loss"), std::string::npos);
}

TEST(Html, TellsFirstWhatDidNotRunAsAsked) {
  const std::string page = to_html(full_report());
  const size_t deviation = page.find("Did not run as asked");
  const size_t caution = page.find("Read with caution");
  const size_t table = page.find("<table");
  ASSERT_NE(deviation, std::string::npos);
  EXPECT_LT(deviation, caution);
  EXPECT_LT(caution, table);
  EXPECT_LT(page.find("2,000 of 10,000 samples were used"), table);
  EXPECT_GT(page.find("3 nodes share one scale"), page.find("<h2>Nodes</h2>")) << "a note waits for its section";
  EXPECT_EQ(to_html(sample_report()).find("Did not run as asked"), std::string::npos);
}

TEST(Html, HasNoEmptySections) {
  const std::string page = to_html(sample_report());
  EXPECT_EQ(page.find("<h2>Speed</h2>"), std::string::npos);
  EXPECT_EQ(page.find("Latency"), std::string::npos);
  EXPECT_EQ(page.find("<h2>Outputs</h2>"), std::string::npos);
  EXPECT_NE(to_html(label_free_report()).find("<h2>Outputs</h2>"), std::string::npos);
  EXPECT_EQ(page.find("Warnings"), std::string::npos);
  EXPECT_NE(to_html(full_report()).find("<h2>Speed</h2>"), std::string::npos);
  Report bare = sample_report();
  bare.layers.clear();
  EXPECT_EQ(to_html(bare).find("<h2>Nodes</h2>"), std::string::npos);
}

TEST(Html, HostileNamesStayText) {
  const std::string script = "</script><script>alert(1)</script>";
  const std::string attribute = "\" onmouseover=\"alert(1)\" x='";
  const std::string ansi = "\x1b[31mred\x1b[0m";
  const std::string nul = std::string("a\0b", 3);
  const std::string broken = "\xff\xfe\xc3";
  const std::string direction = "abc\u202edcba";
  const std::string huge(1 << 20, 'x');
  for (const std::string& hostile :
       {script, attribute, ansi, nul, broken, direction, huge, std::string("<!--"), std::string("]]>&amp;")}) {
    Report r = full_report();
    r.title = hostile;
    for (ModelRow& model : r.models) {
      model.name = model.path = model.sha256 = hostile;
      model.precisions[0].precision = hostile;
    }
    for (LayerRow& layer : r.layers) layer.name = layer.op = layer.precision = layer.kernel = layer.reason = hostile;
    for (Warning& warning : r.warnings) warning.text = hostile;
    for (OutputComparison& output : r.outputs) output.name = hostile;
    for (TaskMetric& task : r.tasks) task.output = task.target = hostile;
    for (RequirementVerdict& v : r.requirements) v.requirement = v.metric = v.output = v.model = v.sentence = hostile;
    r.accuracy[0].comparisons[0].sentences = {hostile, hostile, hostile};
    r.accuracy[0].comparisons[0].verdict->sentence = hostile;
    Provenance& p = r.provenance;
    p.date = hostile;
    p.command = {hostile, hostile};
    p.versions = p.machine = p.quantization = {{hostile, hostile}};
    p.seeds = {{hostile, 3}};
    p.dataset->name = p.dataset->path = p.dataset->sha256 = p.dataset->layout = hostile;
    p.dataset->preprocessing = {hostile};
    for (SplitFacts& split : p.dataset->splits) split.name = split.source = split.sample_hash = hostile;

    const std::string page = to_html(r);
    expect_well_formed(page);
    EXPECT_EQ(occurrences(page, "<script"), 1u);
    EXPECT_EQ(occurrences(page, "</script"), 1u);
    EXPECT_EQ(page.find("\" onmouseover"), std::string::npos);
    const std::string text = to_json(r);
    EXPECT_TRUE(json::accept(text));
    EXPECT_LT(page.size(), 1u << 20);
    EXPECT_LT(text.size(), 1u << 20);
    const std::string verdict = verdict_text(r);
    EXPECT_LE(occurrences(verdict, "\n"), 10u);
    for (const std::string* out : {&page, &text, &verdict})
      for (const char c : *out) ASSERT_TRUE(static_cast<unsigned char>(c) >= 0x20 || c == '\n') << int{c};
  }
}

TEST(VerdictText, TenLinesAtMost) {
  EXPECT_EQ(verdict_text(sample_report()),
            "fashion_resnet: INT8 stays within the allowed loss\n"
            "  INT8 may lose at most 1 point of top-1 accuracy; even the unfavourable end of the interval, a loss of "
            "0.30 points, "
            "stays inside.\n"
            "  top-1 accuracy   FP32 93.33 %  INT8 93.20 % (-0.13 points [-0.30, +0.03], p = 0.14)\n"
            "  flips            40 right to wrong, 27 wrong to right, 33 wrong to another wrong, of 10,000 samples\n"
            "  file             FP32 1.13 MB  INT8 309 kB (-72.7 %)\n"
            "  weights          FP32 1.12 MB  INT8 285 kB (-74.5 %)\n"
            "  bit operations   FP32 20.9 G  INT8 1.31 G (-93.8 %)\n");
  Report r = sample_report();
  for (int i = 0; i < 5; ++i) r.warnings.push_back({Severity::caution, "caution " + std::to_string(i)});
  r.warnings.push_back({Severity::deviation, "only 2,000 of 10,000 samples were used"});
  const std::string text = verdict_text(r);
  EXPECT_EQ(occurrences(text, "\n"), 10u);
  EXPECT_NE(text.find("  not as asked: only 2,000 of 10,000 samples were used\n"), std::string::npos);
  EXPECT_NE(text.find("  and 4 more to know before trusting this; see the report\n"), std::string::npos);
}

TEST(VerdictText, WithoutComparison) {
  Report r;
  r.title = "net";
  EXPECT_EQ(verdict_text(r), "net: No accuracy was measured\n");
}

TEST(Wording, Headlines) {
  Report r = sample_report();
  Comparison& c = r.accuracy[0].comparisons[0];
  c.verdict->kind = VerdictKind::missed;
  EXPECT_EQ(headline(r, 0), "INT8 loses more than is allowed");
  c.verdict->kind = VerdictKind::undecided;
  EXPECT_EQ(headline(r, 0), "Undecided: too few samples to tell");
  c.verdict.reset();
  EXPECT_EQ(headline(r, 0), "INT8 loses 0.13 points");
  c.difference = 0;
  EXPECT_EQ(headline(r, 0), "INT8 is as accurate as FP32");
}

TEST(Wording, Numbers) {
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(999), "999 B");
  EXPECT_EQ(bytes_text(1000), "1.00 kB");
  EXPECT_EQ(bytes_text(9'999), "10.0 kB");
  EXPECT_EQ(bytes_text(99'960), "100 kB");
  EXPECT_EQ(bytes_text(999'600), "1.00 MB");
  EXPECT_EQ(bytes_text(std::numeric_limits<int64_t>::max()), "9.22 EB");
  EXPECT_EQ(count_text(20'431'872), "20.4 M");
  EXPECT_EQ(count_text(812), "812");
  EXPECT_EQ(change_text(-0.7452, false), "-74.5 %");
  EXPECT_EQ(change_text(-0.7452, true), "\u221274.5 %");
  EXPECT_EQ(change_text(-0.0001, true), "0.0 %");
  EXPECT_EQ(signed_points_text(-0.0013, 10'000, false), "-0.13");
  EXPECT_EQ(signed_points_text(0.0002, 10'000, true), "+0.02");
  EXPECT_EQ(signed_points_text(0, 10'000, true), "0.00");
  EXPECT_FALSE(relative_change(0, 5));
  EXPECT_EQ(shell_text({"a b", "", "it's", "-o", "x=1"}), "'a b' '' 'it'\\''s' -o x=1");
}

// CUPEL_REPORT_SAMPLE: a path; the sample page is written there, to be looked at.
TEST(Html, WritesASamplePage) {
  const char* path = std::getenv("CUPEL_REPORT_SAMPLE");
  if (path == nullptr) GTEST_SKIP() << "set CUPEL_REPORT_SAMPLE to a path to get the sample page";
  std::ofstream(path) << to_html(full_report());
}

}  // namespace
}  // namespace cupel
