// report_page.h: runs as one HTML file that needs nothing else.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/report/run_files.h"

namespace titan::report {

struct PageOptions {
  /// Points of a curve, over all runs: each gets an equal part, at least 150 and at most 500.
  std::size_t points = 1500;
  /// Bytes of all pictures as files; in the page they need a third more.
  std::size_t picture_bytes = std::size_t{1000} << 10;
  /// Seconds after which the page loads itself again; 0 = it is final.
  std::int64_t reload_s = 0;
  std::string written;  ///< when, for the reader
};

/// The data of the page as JSON: numbers with six digits, texts as they are.
std::string page_data(const std::vector<RunFiles>& runs, const PageOptions& options,
                      GridPacker& packer);

/// The page. Texts of runs (a description with the end tag of a script, a class name, a path) are
/// data to it: they can neither end a script nor become HTML, and its content policy forbids every
/// request.
std::string render_page(const std::vector<RunFiles>& runs, const PageOptions& options,
                        GridPacker& packer);

/// JSON that may stand inside a script element: without opening angle brackets.
std::string script_safe(const std::string& json);

}  // namespace titan::report
