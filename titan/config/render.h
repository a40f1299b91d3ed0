// render.h: a config as text: TOML that loads back equal, --help, docs/config.md. All from the one
// field list.
#pragma once

#include <string>
#include <vector>

#include "titan/config/field_docs.h"
#include "titan/config/job_config.h"

namespace titan {

/// Returns the resolved config as TOML; loading it gives the same settings (job.config_file apart,
/// which names the file that was loaded). A model setting given on the command line has no type yet
/// and is written as what it looks like: number, boolean, text.
std::string render_toml(const JobConfig& config);

/// Returns the text of --help, 100 columns wide, with the values of `config` as the defaults shown.
/// `more` are sections that the config layer does not know, such as a model's [model.args].
std::string render_help(const std::string& program, const JobConfig& config,
                        const std::vector<SectionDoc>& more = {});

/// Returns docs/config.md: every key with type, default, rule and meaning; aliases; inert keys.
std::string render_config_markdown(const std::vector<SectionDoc>& more = {});

}  // namespace titan
