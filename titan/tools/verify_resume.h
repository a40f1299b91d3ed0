// verify_resume.h: `titan verify-resume`: does N + N steps equal 2N on this machine?
#pragma once

#include <string>
#include <vector>

namespace titan {

/// The verb; see its --help. Exit code 1 where states differ, 2 for bad input.
int verify_resume_main(const std::vector<std::string>& args);

}  // namespace titan
