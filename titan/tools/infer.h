// infer.h: `titan infer`, which run_inference.sh calls: a picture for each prompt of a file.
#pragma once

#include <string>
#include <vector>

namespace titan {

/// The verb: `arguments` are settings. Ranks by NGPU; exit codes as job_main's.
int infer_main(const std::vector<std::string>& arguments);

}  // namespace titan
