#include "titan/train/prompt_pictures.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <sstream>
#include <system_error>
#include <utility>

#include "titan/base/check.h"
#include "titan/base/human.h"
#include "titan/base/log.h"
#include "titan/io/image_decode.h"
#include "titan/io/image_grid.h"
#include "titan/io/image_resize.h"
#include "titan/io/image_write.h"
#include "titan/io/mapped_file.h"
#include "titan/parallel/communicator.h"
#include "titan/train/sampling.h"

namespace titan {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

/// Prompts [begin, end) that are drawn together.
struct PromptBatch {
  int64_t begin = 0;
  int64_t end = 0;
};

class PictureJob {
 public:
  PictureJob(const PromptPictures& job, parallel::Communicator& ranks) : job_(job), ranks_(ranks) {}

  /// Batches with a picture that is not there; the first rank looks for all.
  void find_open_batches() {
    std::string text;
    if (ranks_.rank() == 0) {
      for (int64_t batch = 0; batch < num_batches(); ++batch)
        if (!missing(batch_at(batch)).empty()) text += std::to_string(batch) + " ";
    }
    std::istringstream numbers(ranks_.broadcast_text(text));
    for (int64_t batch = 0; numbers >> batch;) open_.push_back(batch_at(batch));
    for (const PromptBatch& batch : open_) left_ += batch.end - batch.begin;
  }

  StatusOr<JobOutcome> run(const DrawPrompts& draw, const std::function<int()>& signal) {
    const auto all = static_cast<int64_t>(job_.prompts.size());
    if (left_ < all)
      TITAN_LOG(INFO) << "[inference] " << all - left_ << " of " << all
                      << " prompts are there already (" << job_.folder.string() << ")";
    began_ = said_ = Clock::now();
    for (std::size_t start = 0; start < open_.size(); start += size()) {
      if (stop_agreed(signal)) {
        TITAN_LOG(WARNING) << "[inference] stopped by a signal with " << all - left_ << " of "
                           << all << " prompts drawn; the same command goes on";
        return JobOutcome::kStopped;
      }
      TITAN_RETURN_IF_ERROR(round(draw, start));
    }
    return JobOutcome::kDone;
  }

 private:
  std::size_t size() const { return static_cast<std::size_t>(ranks_.size()); }
  int64_t num_batches() const {
    return (static_cast<int64_t>(job_.prompts.size()) + job_.batch_size - 1) / job_.batch_size;
  }
  PromptBatch batch_at(int64_t batch) const {
    const auto all = static_cast<int64_t>(job_.prompts.size());
    return {batch * job_.batch_size, std::min((batch + 1) * job_.batch_size, all)};
  }
  const std::string& prompt(int64_t number) const {
    return job_.prompts[static_cast<std::size_t>(number)];
  }
  PngText text_of(int64_t number, double scale) const {
    return picture_text(job_.settings, prompt(number), scale, number);
  }

  /// Numbers and scales of a batch that are not in the folder.
  std::vector<std::pair<int64_t, std::size_t>> missing(const PromptBatch& batch) const {
    std::vector<std::pair<int64_t, std::size_t>> pictures;
    for (int64_t number = batch.begin; number < batch.end; ++number) {
      for (std::size_t i = 0; i < job_.guidance.size(); ++i) {
        const double scale = job_.guidance[i];
        if (!is_drawn(job_.path_of(number, scale), text_of(number, scale)))
          pictures.emplace_back(number, i);
      }
    }
    return pictures;
  }

  /// A batch for each rank. One without a batch draws the round's first again and drops it: others
  /// may wait for its part of the parameters.
  Status round(const DrawPrompts& draw, std::size_t start) {
    const std::size_t mine = start + static_cast<std::size_t>(ranks_.rank());
    const PromptBatch batch = open_[mine < open_.size() ? mine : start];
    const std::vector<std::string> prompts(job_.prompts.begin() + batch.begin,
                                           job_.prompts.begin() + batch.end);
    TITAN_ASSIGN_OR_RETURN(const std::vector<at::Tensor> drawn, draw(batch.begin, prompts));
    if (mine < open_.size()) TITAN_RETURN_IF_ERROR(write(batch, drawn));
    for (std::size_t i = start; i < std::min(start + size(), open_.size()); ++i) {
      left_ -= open_[i].end - open_[i].begin;
      done_ += open_[i].end - open_[i].begin;
    }
    say_progress();
    return ok_status();
  }

  Status write(const PromptBatch& batch, const std::vector<at::Tensor>& drawn) const {
    TITAN_CHECK(drawn.size() == job_.guidance.size(), "[inference] one set of pictures a scale");
    for (const auto& [number, scale] : missing(batch)) {
      const double guidance = job_.guidance[scale];
      TITAN_RETURN_IF_ERROR(write_png(job_.path_of(number, guidance),
                                      to_image(drawn[scale][number - batch.begin]),
                                      text_of(number, guidance)));
    }
    return ok_status();
  }

  void say_progress() {
    const auto now = Clock::now();
    const double since = std::chrono::duration<double>(now - said_).count();
    if (left_ > 0 && since < job_.progress_s) return;
    said_ = now;
    const double seconds = std::chrono::duration<double>(now - began_).count();
    const auto all = static_cast<int64_t>(job_.prompts.size());
    const double rate = static_cast<double>(done_) / std::max(seconds, 1e-9);
    TITAN_LOG(INFO) << "[inference] " << all - left_ << " of " << all << " prompts, "
                    << human_number(rate) << "/s"
                    << (left_ > 0
                            ? ", " + human_duration(static_cast<double>(left_) / rate) + " left"
                            : "");
  }

  bool stop_agreed(const std::function<int()>& signal) {
    const double wanted = signal() != 0 ? 1 : 0;
    return ranks_.all_reduce_values({wanted}, parallel::Reduction::kMax).front() > 0;
  }

  const PromptPictures& job_;
  parallel::Communicator& ranks_;
  std::vector<PromptBatch> open_;
  int64_t left_ = 0;  ///< prompts of open batches
  int64_t done_ = 0;  ///< prompts drawn by this job
  Clock::time_point began_, said_;
};

/// A picture from its file, made small enough for a page.
StatusOr<Image> tile_image(const std::string& path) {
  constexpr int kLongestSide = 256;
  TITAN_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  StatusOr<Image> image =
      decode_image({reinterpret_cast<const std::uint8_t*>(file.data()), file.size()});
  if (!image.ok()) return annotate(image.status(), path);
  const int longest = std::max(image->width, image->height);
  if (longest <= kLongestSide) return image;
  const auto scaled = [&](int side) {
    return std::max<int>(1, static_cast<int>(int64_t{side} * kLongestSide / longest));
  };
  return resize(*image, {scaled(image->width), scaled(image->height)});
}

Status write_page(const PromptPictures& job, int64_t page) {
  const auto all = static_cast<int64_t>(job.prompts.size());
  const int64_t begin = page * kPicturesOfPage, end = std::min(begin + kPicturesOfPage, all);
  std::vector<TileGroup> groups;
  for (const double scale : job.guidance) {
    TileGroup& group = groups.emplace_back();
    if (job.guidance.size() > 1) group.heading = guidance_heading(scale);
    for (int64_t number = begin; number < end; ++number) {
      TITAN_ASSIGN_OR_RETURN(Image image, tile_image(job.path_of(number, scale)));
      group.tiles.push_back({std::move(image), job.prompts[static_cast<std::size_t>(number)]});
    }
  }
  PngText text = page_text(job.settings);
  text.emplace_back("pictures", str_cat(begin, " to ", end - 1));
  GridOptions options;
  options.columns = job.guidance.size() > 1 ? 4 : 8;
  return write_png(page_path(job.folder, page), compose_grid(groups, options), text);
}

/// Those of an earlier job with more prompts.
void remove_pages_from(const fs::path& folder, int64_t page) {
  std::error_code ignored;
  while (fs::remove(page_path(folder, page), ignored)) ++page;
}

}  // namespace

std::string PromptPictures::path_of(int64_t number, double scale) const {
  char name[64];
  std::snprintf(name, sizeof name, "img_%06lld", static_cast<long long>(number));
  std::string file = name;
  if (guidance.size() > 1) {
    std::snprintf(name, sizeof name, "_guidance_%.9g", scale);
    file += name;
  }
  return (folder / (file + ".png")).string();
}

StatusOr<JobOutcome> draw_prompt_pictures(const PromptPictures& job, const DrawPrompts& draw,
                                          parallel::Communicator& ranks,
                                          const std::function<int()>& signal) {
  TITAN_CHECK(job.batch_size >= 1 && !job.prompts.empty() && !job.guidance.empty(),
              "[inference] prompts, guidance scales and a batch size are needed");
  PictureJob pictures(job, ranks);
  pictures.find_open_batches();
  return pictures.run(draw, signal);
}

std::string page_path(const fs::path& folder, int64_t page) {
  if (page == 0) return (folder / "grid.png").string();
  char name[32];
  std::snprintf(name, sizeof name, "grid-%03lld.png", static_cast<long long>(page + 1));
  return (folder / name).string();
}

Status write_prompt_pages(const PromptPictures& job, parallel::Communicator& ranks) {
  ranks.barrier();  // every rank's pictures are on disk
  const int64_t pages =
      (static_cast<int64_t>(job.prompts.size()) + kPicturesOfPage - 1) / kPicturesOfPage;
  for (int64_t page = ranks.rank(); page < pages; page += ranks.size())
    TITAN_RETURN_IF_ERROR(write_page(job, page));
  if (ranks.rank() == 0) remove_pages_from(job.folder, pages);
  ranks.barrier();
  return ok_status();
}

}  // namespace titan
