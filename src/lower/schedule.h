// Start schedules from an analytic prior (no search).
#pragma once

#include "kernel/kernel.h"
#include "lower/lower.h"

namespace cupel {

// Tiles that keep accumulators, weights and one broadcast in registers, divide the width where possible, and are large
// enough to hide the latency of a multiply-add.
ContractSchedule start_schedule(const ContractSpec& spec, const LowerTarget& target);
WindowSchedule start_schedule(const WindowSpec& spec);
MapSchedule start_schedule(const MapSpec& spec);
// The same with the dimensions of its space in the order of the written bytes, those of extent 1 left out.
MapSpec in_written_order(MapSpec spec);
CallSpec in_written_order(CallSpec spec);

}  // namespace cupel
