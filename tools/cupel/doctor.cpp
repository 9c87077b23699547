#include "tools/cupel/verb.h"

namespace cupel::cli {

Run setup_doctor(CLI::App&) {
  return [](const CommonFlags&) -> Result<int> { return 0; };
}

}  // namespace cupel::cli
