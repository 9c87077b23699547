#include "profile/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "target/fake_root.h"
#include "target/targets.h"

namespace cupel {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A machine that lacks nothing.
Diagnosis complete() {
  Diagnosis d;
  d.machine.architecture = Architecture::x86_64;
  d.machine.cpu = {"GenuineIntel", "Xeon", 6, 207, 2};
  d.machine.features.usable = x86_64_level_features(4).plus({Feature::avx512vnni});
  d.machine.caches = {{1, CacheKind::data, 48 << 10, 64, 1}, {2, CacheKind::unified, 2 << 20, 64, 1}};
  d.machine.online_cpus = 2;
  d.machine.allowed_cpus = {0, 1};
  d.machine.core_cpus = {0, 1};
  d.machine.memory = {int64_t{16} << 30, int64_t{8} << 30};
  d.gpus.devices = {{"NVIDIA H100", 9, 0, int64_t{80} << 30, 132}};
  d.counters.available = true;
  d.datasets = {{"fashion-mnist", "dataset-fashion-mnist", "/usr/share/datasets/fashion-mnist", true}};
  Peaks peaks;
  peaks.threads = 2;
  for (const PeakLoop& loop : peak_loops()) {
    PeakRow row{std::string(loop.id), std::string(loop.instruction), "GOPS", 100.0, 200.0};
    if (loop.kind == PeakKind::clock) row = {std::string(loop.id), std::string(loop.instruction), "GHz", 3.0, 3.0};
    if (loop.kind == PeakKind::fp32) row.one_core = 50.0;
    peaks.rows.push_back(row);
  }
  peaks.rows.push_back({"read_l1", "vmovaps zmm", "GB/s", 200.0, 400.0, 16384});
  d.peaks = peaks;
  return d;
}

std::vector<std::string> ids(const std::vector<Finding>& all) {
  std::vector<std::string> names;
  for (const Finding& finding : all) names.push_back(finding.id);
  return names;
}

TEST(Findings, ACompleteMachineMissesNothing) {
  EXPECT_THAT(findings(complete()), IsEmpty());
  EXPECT_THAT(doctor_text(complete()), HasSubstr("Missing: nothing\n"));
}

TEST(Findings, EachHasItsCondition) {
  const auto after = [](auto&& change) {
    Diagnosis d = complete();
    change(d);
    return ids(findings(d));
  };
  EXPECT_THAT(after([](Diagnosis& d) { d.machine.features.usable = x86_64_level_features(2); }),
              ElementsAre("no-cpu-target"));
  EXPECT_THAT(after([](Diagnosis& d) { d.machine.features.usable = x86_64_level_features(4); }),
              ElementsAre("no-int8-dot-product"));
  EXPECT_THAT(after([](Diagnosis& d) { d.machine.features.withheld.add(Feature::amx_int8); }),
              ElementsAre("withheld-instructions"));
  EXPECT_THAT(after([](Diagnosis& d) { d.machine.limits.memory_bytes = 1 << 30; }), ElementsAre("small-memory"));
  EXPECT_THAT(after([](Diagnosis& d) { d.machine.limits.cpus = 1.5; }), ElementsAre("cpu-quota"));
  EXPECT_THAT(after([](Diagnosis& d) { d.machine.limits.cpus = 2.0; }), IsEmpty());
  EXPECT_THAT(after([](Diagnosis& d) { d.machine.online_cpus = 8; }), ElementsAre("cpu-affinity"));
  EXPECT_THAT(after([](Diagnosis& d) { d.machine.caches.clear(); }), ElementsAre("unknown-caches"));
  EXPECT_THAT(after([](Diagnosis& d) { d.peaks->rows.back().disturbed = true; }), ElementsAre("busy-machine"));
  EXPECT_THAT(after([](Diagnosis& d) { d.datasets[0].installed = false; }), ElementsAre("no-dataset-fashion-mnist"));
  EXPECT_THAT(after([](Diagnosis& d) {
                d.gpus.devices.clear();
                d.gpus.absent_because = "x";
              }),
              ElementsAre("no-gpu"));
  EXPECT_THAT(after([](Diagnosis& d) { d.counters = read_perf_counters("/nowhere", ENOSYS); }),
              ElementsAre("no-perf-counters"));
}

TEST(Findings, SayWhatFollowsAndWhatToDo) {
  Diagnosis d = complete();
  d.machine.features.usable = x86_64_level_features(3);
  d.peaks.reset();
  EXPECT_EQ(
      findings(d)[0],
      (Finding{"no-int8-dot-product", "this CPU has no INT8 dot product",
               "INT8 layers use vpmaddwd: they gain less over FP32 than with "
               "one",
               "measure on a CPU with AVX-512 VNNI (Intel since Cascade Lake, AMD since Zen 4) or AVX-VNNI (Intel "
               "since Alder Lake, AMD since Zen 5)"}));
  d.peaks = complete().peaks;
  if (host_architecture() != Architecture::other) {
    EXPECT_EQ(findings(d)[0].consequence,
              "INT8 layers use vpmaddwd: at most 2.0 times the speed of FP32 here, "
              "as measured");
  }
  d = complete();
  d.datasets[0].installed = false;
  EXPECT_EQ(findings(d)[0],
            (Finding{"no-dataset-fashion-mnist",
                     "the data set fashion-mnist is not installed (/usr/share/datasets/fashion-mnist is not there)",
                     "the bundled models cannot be calibrated or assayed", "apt install dataset-fashion-mnist"}));
  d = complete();
  d.machine.limits.cpus = 1.5;
  EXPECT_EQ(findings(d)[0], (Finding{"cpu-quota", "a control group grants 1.50 CPUs of 2 cores",
                                     "Cupel uses 1 of them; the kernel pauses a program that runs more threads, which "
                                     "shows as outliers in latency",
                                     "raise the container's CPU limit, or measure outside of it"}));
}

// Every fact, row and finding of the diagnosis is in the text (lines joined) and in the JSON.
void expect_all_in(const Diagnosis& d) {
  std::string text;
  bool blank = false;
  for (const char c : doctor_text(d)) {
    const bool space = c == ' ' || c == '\n';
    if (!space || !blank) text += space ? ' ' : c;
    blank = space;
  }
  for (const auto& [name, value] : machine_facts(d.machine)) EXPECT_THAT(text, HasSubstr(name + " " + value));
  for (const auto& [name, value] : gpu_facts(d.gpus)) EXPECT_THAT(text, HasSubstr(name + " " + value));
  for (const auto& [name, value] : target_facts(d)) EXPECT_THAT(text, HasSubstr(name + " " + value));
  const nlohmann::ordered_json json = nlohmann::ordered_json::parse(doctor_json(d).dump());
  ASSERT_EQ(json["missing"].size(), findings(d).size());
  size_t index = 0;
  for (const Finding& finding : findings(d)) {
    for (const std::string& part : {finding.what, finding.consequence, finding.remedy}) {
      EXPECT_THAT(text, HasSubstr(part));
      EXPECT_FALSE(part.empty()) << finding.id;
    }
    EXPECT_EQ(json["missing"][index++]["id"], finding.id);
  }
  for (const FeatureRow& row : feature_table()) {
    const auto& listed = json["machine"]["instructions"];
    const bool found = std::find(listed.begin(), listed.end(), std::string(row.name)) != listed.end();
    EXPECT_EQ(found, d.machine.features.usable.has(row.feature)) << row.name;
  }
  EXPECT_EQ(json["machine"]["caches"].size(), d.machine.caches.size());
  EXPECT_EQ(json["targets"].size(), cpu_target_table().size() + d.gpus.devices.size());
  EXPECT_EQ(json["gpus"]["devices"].size(), d.gpus.devices.size());
  EXPECT_EQ(json["datasets"].size(), d.datasets.size());
  if (!d.peaks) {
    EXPECT_TRUE(json["peaks"].is_null());
    return;
  }
  ASSERT_EQ(json["peaks"]["rows"].size(), d.peaks->rows.size());
  index = 0;
  for (const PeakRow& row : d.peaks->rows) {
    const auto& entry = json["peaks"]["rows"][index++];
    EXPECT_EQ(entry["id"], row.id);
    EXPECT_EQ(entry["unit"], row.unit);
    EXPECT_EQ(entry["one_core"].is_null(), !row.one_core.has_value());
    if (row.one_core) {
      EXPECT_EQ(entry["one_core"].get<double>(), *row.one_core);
    }
    EXPECT_THAT(text, HasSubstr(row.id + " " + row.instruction));
    if (row.one_core) {
      EXPECT_THAT(text, HasSubstr(rate_text(row.one_core, row.unit)));
    }
    if (!row.absent_because.empty()) {
      EXPECT_THAT(text, HasSubstr(row.absent_because));
    }
  }
}

TEST(Doctor, TextAndJsonHoldEveryRow) {
  expect_all_in(complete());
  Diagnosis bare;
  bare.machine.features.withheld.add(Feature::avx);
  bare.machine.limits = {0.5, 1 << 28};
  bare.machine.online_cpus = 4;
  bare.machine.allowed_cpus = {0};
  bare.machine.core_cpus = {0};
  bare.gpus.absent_because = "the driver counts 0 devices";
  bare.counters = read_perf_counters("/nowhere", ENOENT);
  bare.datasets = find_datasets("/nowhere");
  expect_all_in(bare);
  EXPECT_EQ(doctor_json(bare)["host_target"], nullptr);
}

TEST(Doctor, TheHostItself) {
  const Diagnosis d = diagnose(Measure::quick);
  ASSERT_TRUE(d.peaks.has_value());
  expect_all_in(d);
  EXPECT_FALSE(diagnose(Measure::nothing).peaks.has_value());
}

TEST(Doctor, NamesTheTargetThatHostMeans) {
  const Diagnosis d = complete();
  EXPECT_EQ(doctor_json(d)["host_target"], "x86-64-v4+avx512vnni");
  EXPECT_THAT(doctor_text(d), HasSubstr("host means x86-64-v4+avx512vnni\n"));
  const auto facts = target_facts(d);
  EXPECT_THAT(facts, testing::Contains(testing::Pair("x86-64-v3+avxvnni", "no, this machine has no avxvnni")));
  EXPECT_THAT(facts, testing::Contains(testing::Pair("aarch64+dotprod", "no, this machine is x86-64")));
  EXPECT_THAT(facts, testing::Contains(testing::Pair("cuda-sm_90", "yes, NVIDIA H100")));
}

TEST(Datasets, AreLookedForBeneathTheRoot) {
  const FakeRoot root;
  EXPECT_FALSE(find_datasets(root.path())[0].installed);
  root.write("usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz", "");
  EXPECT_TRUE(find_datasets(root.path())[0].installed);
}

TEST(PerfCounters, ExplainTheRefusal) {
  const FakeRoot root;
  root.write("proc/sys/kernel/perf_event_paranoid", "3\n");
  const auto refused = read_perf_counters(root.path(), EACCES);
  EXPECT_EQ(refused.paranoid, 3);
  EXPECT_EQ(refused.absent_because, "kernel.perf_event_paranoid is 3");
  EXPECT_EQ(refused.remedy, "as root: sysctl kernel.perf_event_paranoid=1");
  EXPECT_EQ(read_perf_counters(root.path(), ENOENT).absent_because,
            "this machine shows no counter of cycles (usual in virtual machines)");
  EXPECT_EQ(read_perf_counters(root.path(), EMFILE).absent_because, "perf_event_open failed (Too many open files)");
  EXPECT_EQ(read_perf_counters("/nowhere", EPERM).absent_because, "the system refuses them to this process");
  const auto granted = read_perf_counters(root.path(), 0);
  EXPECT_TRUE(granted.available);
  EXPECT_EQ(granted.absent_because, "");
}

}  // namespace
}  // namespace cupel
