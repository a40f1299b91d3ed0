// embedded.h: the page's parts, as files in titan/report/page, built in by cmake/embed.cmake.
#pragma once

#include <string_view>

namespace titan::report {

std::string_view page_html();
std::string_view page_css();
std::string_view page_charts();
std::string_view page_details();
std::string_view page_script();
/// Chart.js (Debian's libjs-chart.js), its licence in the first lines.
std::string_view chart_script();

}  // namespace titan::report
