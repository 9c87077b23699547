#include "profile/doctor.h"

#include "tools/cupel/verb.h"

namespace cupel::cli {

Run setup_doctor(CLI::App& command) {
  auto thorough = std::make_shared<bool>(false);
  command.add_flag("--thorough", *thorough, "Measure the machine's peaks for several seconds");
  return [thorough](const CommonFlags& common) -> Result<int> {
    const Diagnosis diagnosis = diagnose(*thorough ? Measure::thorough : Measure::quick);
    if (common.json != "-") print(doctor_text(diagnosis));
    CUPEL_TRY(write_json(common, doctor_json(diagnosis).dump(2) + "\n"));
    return 0;
  };
}

}  // namespace cupel::cli
