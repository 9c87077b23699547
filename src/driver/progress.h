// How long work tells a person how far it is, and how it is stopped.
#pragma once

#include <functional>
#include <string_view>

#include "base/result.h"

namespace cupel {

// Called with the work's name and how much of it is done.
using Progress = std::function<void(std::string_view work, int64_t done, int64_t total)>;

// True once the user has asked to stop (Ctrl-C). Set by the command line's signal handler.
bool stop_requested();
void request_stop();

}  // namespace cupel
