#include "titan/tokenizers/sentence_piece_trainer.h"

#include "titan/tokenizers/sentence_piece_loader.h"

namespace titan {

StatusOr<std::string> train_sentence_pieces(const std::vector<std::string>& texts,
                                            std::int64_t max_pieces) {
  if (texts.empty()) return invalid_argument("[sentencepiece] needs texts to learn pieces from");
  TITAN_ASSIGN_OR_RETURN(const SentencePieceModule* module, sentence_piece_module());
  if (max_pieces <= 3)
    return invalid_argument("[sentencepiece] needs more than the three special pieces (",
                            max_pieces, ")");
  std::string error;
  std::string model = module->train(
      {
          {"model_type", "unigram"},
          {"vocab_size", str_cat(max_pieces)},
          {"hard_vocab_limit", "false"},  // fewer pieces where the texts have no more
          {"character_coverage", "1.0"},
          {"normalization_rule_name", "nmt_nfkc"},
          {"pad_id", "0"},
          {"eos_id", "1"},
          {"unk_id", "2"},
          {"bos_id", "-1"},
          {"num_threads", "1"},  // sums of several threads would depend on their number
          {"minloglevel", "2"},
      },
      texts, error);
  if (model.empty())
    return invalid_argument("[sentencepiece] cannot learn ", max_pieces, " pieces from ",
                            texts.size(), " texts: ", error);
  return model;
}

}  // namespace titan
