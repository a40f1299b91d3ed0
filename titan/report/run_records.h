// report: a run's folder as one page to look at. Reads files alone; no torch, nothing of a living
// run.
//
// run_records.h: metrics.jsonl as columns, whatever state the file is in.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace titan::report {

/// Lines of kind train, in order of steps; every vector has one value a line. NaN = null in the
/// file: not finite, or unknown.
struct TrainColumns {
  std::vector<std::int64_t> step;
  std::vector<std::int64_t> steps;  ///< that the line covers: since the line before, or the resume
  std::vector<double> hours;        ///< that the run has lasted, breaks between restarts left out
  std::map<std::string, std::vector<double>> values;  ///< "loss", "samples", "step_s", ...
};

struct EvalLine {
  std::int64_t step = 0;
  std::map<std::string, double> values;  ///< "loss", "seconds", ...; NaN = null
};

struct EventLine {
  std::int64_t step = 0;
  std::string name;
  double seconds = 0;  ///< that it took; 0 = unknown
  std::string text;    ///< its other values: "cause: the loss is nan"
};

struct RunRecords {
  TrainColumns train;
  std::vector<EvalLine> evals;
  std::vector<EventLine> events;
  /// What a reader should know: a half-written last line, lines that are no records, ...
  std::vector<std::string> notes;
};

/// Reads the text of a metrics.jsonl. A last line without its end is one that is being written, or
/// was cut by a crash; lines that are no records are left out; where steps go back, the later
/// lines count. All of it is said in `notes`.
RunRecords parse_records(const std::string& text);

}  // namespace titan::report
