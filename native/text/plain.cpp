#include "text/plain.h"

#include "engine/failure.h"
#include "text/encoders/byte_pair.h"
#include "text/encoders/character_pair.h"
#include "text/encoders/score_merge.h"
#include "text/encoders/unigram.h"
#include "text/encoders/word_piece.h"

namespace stator::text {

std::unique_ptr<PlainEncoder> makePlainEncoder(const Vocabulary& vocabulary) {
  switch (vocabulary.kind) {
    case Kind::bytePair:
      return mergesCharacters(vocabulary.pre) ? makeCharacterPairEncoder(vocabulary) : makeBytePairEncoder(vocabulary);
    case Kind::gemmaPair:
      return makeCharacterPairEncoder(vocabulary);
    case Kind::scoreMerge:
      return makeScoreMergeEncoder(vocabulary);
    case Kind::wordPiece:
      return makeWordPieceEncoder(vocabulary);
    case Kind::unigram:
      return makeUnigramEncoder(vocabulary);
    default:
      throw Failure(Code::unsupported, "This kind of vocabulary is not known here.");
  }
}

}  // namespace stator::text
