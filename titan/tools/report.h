// report.h: `titan report`, runs as one HTML page.
#pragma once

#include <string>
#include <vector>

namespace titan {

/// titan report RUN... [--output FILE] [--watch] [--interval S]. Exit code 2 where a folder is no
/// run's, or the page cannot be written there.
int report_main(const std::vector<std::string>& args);

}  // namespace titan
