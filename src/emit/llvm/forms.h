// One function per kernel form, each writing the body of `emitter`'s function.
#pragma once

#include "emit/llvm/emitter.h"

namespace cupel {

void emit_contract(Emitter& emitter, const ContractSpec& spec, const ContractSchedule& schedule);
void emit_window(Emitter& emitter, const WindowSpec& spec, const WindowSchedule& schedule);
// Depthwise convolutions of bytes by dot products of four taps; false, and nothing is written, where they do not apply.
bool emit_depthwise(Emitter& emitter, const WindowSpec& spec, const WindowSchedule& schedule);
void emit_map(Emitter& emitter, const MapSpec& spec, const MapSchedule& schedule);
void emit_row(Emitter& emitter, const RowSpec& spec);
void emit_call(Emitter& emitter, const CallSpec& spec);

}  // namespace cupel
