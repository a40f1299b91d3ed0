#include "titan/report/report_page.h"

#include <algorithm>
#include <string_view>

#include "titan/base/check.h"
#include "titan/report/embedded.h"

namespace titan::report {
namespace {

/// The template's text with every {{name}} replaced; what is put in is not looked at again.
std::string filled(std::string_view html,
                   const std::vector<std::pair<std::string_view, std::string_view>>& parts) {
  std::string page;
  std::size_t at = 0;
  while (true) {
    const std::size_t open = html.find("{{", at);
    page += html.substr(at, open == std::string_view::npos ? open : open - at);
    if (open == std::string_view::npos) return page;
    const std::size_t close = html.find("}}", open);
    TITAN_CHECK(close != std::string_view::npos, "[report] the page's template is damaged");
    const std::string_view name = html.substr(open + 2, close - open - 2);
    const auto part = std::find_if(parts.begin(), parts.end(),
                                   [name](const auto& one) { return one.first == name; });
    TITAN_CHECK(part != parts.end(), "[report] the page's template asks for ", std::string(name));
    page += part->second;
    at = close + 2;
  }
}

}  // namespace

std::string script_safe(const std::string& json) {
  std::string safe;
  safe.reserve(json.size());
  for (const char c : json) {
    if (c == '<') {
      safe += "\\u003c";  // only strings hold it
    } else {
      safe += c;
    }
  }
  return safe;
}

std::string render_page(const std::vector<RunFiles>& runs, const PageOptions& options,
                        GridPacker& packer) {
  const std::string data = script_safe(page_data(runs, options, packer));
  return filled(page_html(), {{"style", page_css()},
                              {"chart", chart_script()},
                              {"charts", page_charts()},
                              {"details", page_details()},
                              {"script", page_script()},
                              {"data", data}});
}

}  // namespace titan::report
