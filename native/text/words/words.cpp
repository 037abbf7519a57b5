#include "text/words/words.h"

#include "text/words/patterns.h"
#include "text/words/splits.h"

namespace stator::text {
namespace {

using namespace words;

template <class... Rule>
void cutBy(std::string_view text, std::vector<uint32_t>& ends) {
  const auto* begin = reinterpret_cast<Bytes>(text.data());
  Stages<Rule...>::cut({begin, begin + text.size()},
                       [&](Piece piece) { ends.push_back(static_cast<uint32_t>(piece.end - begin)); });
}

// Stages that take single characters or runs apart.
template <class Set, uint32_t kMost>
using Runs = Matches<Run<Set, kMost>>;
using EachNumber = Runs<Numbers, 1>;
using AsciiThrees = Matches<Exactly<AsciiDigits, 3>>;
using Gpt2Words = Matches<Gpt2>;

template <class Words, Shape kShape>
using ModernWords = Matches<Modern<Words, kShape>>;
constexpr uint8_t kMarkedLetter = kLetter | kMark;
using Llama3Words = ModernWords<LedLetters<kLetter>, Shape{.numbers = 3}>;
using Qwen2Words = ModernWords<LedLetters<kLetter>, Shape{}>;
constexpr Shape kGpt4o{.endings = Endings::joined, .numbers = 3, .tail = Tail::linesOrSlashes};

constexpr WordRule kDefault{
    cutBy<Runs<Either<Of<kPunctuation>, AsciiSymbolsButBacktick>, kAll>, Gpt2Words, Runs<Numbers, kAll>, AsciiThrees>,
    splitGpt2, false};
constexpr WordRule kFalcon{cutBy<Runs<Either<Of<kPunctuation>, AsciiOf<kSymbol>>, kAll>, Gpt2Words, AsciiThrees>,
                           splitGpt2, false};
constexpr WordRule kGpt2{cutBy<Gpt2Words>, splitGpt2, false};
constexpr WordRule kStarcoder{cutBy<EachNumber, Gpt2Words>, splitGpt2, false};
constexpr WordRule kChameleon{
    cutBy<Matches<Sentinel>, Matches<ImageLetters>, Matches<Blanks>, EachNumber,
          Runs<Either<Of<kPunctuation>, AsciiOf<kSymbol>>, 1>, Gpt2Words>,
    splitGpt2, false};
constexpr WordRule kLlama3{cutBy<Llama3Words>, splitModern<>, false};
constexpr WordRule kLlama3Whole{cutBy<Llama3Words>, splitModern<>, true};
constexpr WordRule kJais2{cutBy<Llama3Words, SpacesByPowers>, splitModern<>, false};
constexpr WordRule kMinicpm5{cutBy<Runs<Numbers, 3>, Llama3Words>, splitModern<>, true};
constexpr WordRule kQwen2{cutBy<Qwen2Words>, splitModern<>, false};
constexpr WordRule kUfakzeka{cutBy<ModernWords<LedLetters<kLetter>, Shape{.endings = Endings::none}>>, splitModern<>,
                             false};
constexpr WordRule kLaguna{cutBy<Matches<First<Run<Except<Only<'\n'>>, kAll>, Run<Only<'\n'>, kAll>>>, Qwen2Words>,
                           splitModern<>, false};
constexpr WordRule kSeedCoder{cutBy<ModernWords<LedLetters<kLetter>, Shape{.tail = Tail::none}>>, splitModern<>, false};
constexpr WordRule kQwen35{cutBy<ModernWords<LedLetters<kMarkedLetter>, Shape{.marksApart = true}>>, splitModern<>,
                           false};
constexpr WordRule kTekken{
    cutBy<ModernWords<LedCasedLetters<kLetter>, Shape{.endings = Endings::none, .tail = Tail::linesOrSlashes}>>,
    splitModern<SplitShape{.slashes = true}>, true};
constexpr WordRule kGpt4oRule{cutBy<ModernWords<LedCasedLetters<kLetter>, kGpt4o>>,
                              splitModern<SplitShape{.endings = true, .slashes = true}>, false};
constexpr WordRule kGraniteEmbedding{cutBy<ModernWords<LedCasedLetters<kMarkedLetter>, kGpt4o>>,
                                     splitModern<SplitShape{.endings = true, .slashes = true}>, true};
constexpr WordRule kTinyAya{cutBy<ThreesFromEnd, ModernWords<LedLetters<kMarkedLetter>, kGpt4o>>,
                            splitModern<SplitShape{.endings = true, .slashes = true}>, false};
constexpr WordRule kYoutu{
    cutBy<Matches<First<Run<Hangul, kAll>, Run<WidePunctuation, kAll>, Run<Bopomofo, kAll>,
                        Run<IdeographsAndKana, kAll>>>,
          ModernWords<LedLetters<kMarkedLetter>, Shape{.endings = Endings::joined, .tail = Tail::linesOrSlashes}>>,
    splitModern<SplitShape{.endings = true, .slashes = true}, Either<WidePunctuation, IdeographsAndKana, Hangul>>,
    true};
constexpr WordRule kKimiK2{
    cutBy<Matches<First<Run<Ideographs, kAll>,
                        Modern<LedWord<Run<OtherLetters, kAll>>, Shape{.endings = Endings::joined, .numbers = 3}>>>>,
    splitModern<SplitShape{.endings = true}>, false};
constexpr WordRule kExaoneMoe{cutBy<ModernWords<LedWord<JoinedWords>, Shape{.tail = Tail::oneLine}>>, splitExaoneMoe,
                              false};
constexpr WordRule kDeepseekV3{
    cutBy<Runs<Numbers, 3>, Runs<IdeographsAndKana, kAll>, Matches<DeepseekV3<Tail::lines, false>>>,
    splitModern<SplitShape{}, IdeographsAndKana>, false};
constexpr WordRule kSpark{
    cutBy<Runs<Numbers, 3>, Runs<IdeographsAndKana, kAll>, Matches<DeepseekV3<Tail::none, true>>, EachNumber>,
    splitModern<SplitShape{.lines = false}, IdeographsAndKana>, false};
constexpr WordRule kAfmoe{cutBy<ThreesFromEnd, Runs<AsianScripts, kAll>, Matches<DeepseekV3<Tail::lines, false>>>,
                          splitModern<SplitShape{}, AsianScripts>, false};
constexpr WordRule kDeepseekLlm{
    cutBy<Runs<LineEnds, 1>, Matches<SpacedRun<DeepseekLetters>>, Matches<SpacedRun<DeepseekPunctuation>>, SpaceAtEnd,
          Runs<BeyondEurope, kAll>, Runs<Numbers, kAll>>,
    splitDeepseek, false};
constexpr WordRule kDeepseekCoder{cutBy<Runs<LineEnds, 1>, Matches<SpacedRun<Letters>>,
                                        Matches<SpacedRun<Of<kPunctuation>>>, Runs<BeyondEurope, kAll>, EachNumber>,
                                  splitDeepseek, false};
constexpr WordRule kBloom{cutBy<Matches<BloomWord>>, splitBloom, false};
constexpr WordRule kViking{cutBy<Matches<BloomWord>, EachNumber>, splitBloom, false};
constexpr WordRule kSuperBpe{cutBy<Runs<Numbers, kAll>, CutsBeforeThrees>, splitSuperBpe, false};

struct Name {
  std::string_view name;
  const WordRule* rule;
};

/// The names of the library for vocabularies whose tokens are bytes as characters. It knows four more (gemma4,
/// granite-embed-multi-311m, sarvam-moe, whitespace), whose tokens are characters as they are.
constexpr Name kNames[] = {
    {"", &kDefault},
    {"a.x-4.0", &kGpt2},
    {"afmoe", &kAfmoe},
    {"bailingmoe", &kQwen2},
    {"bailingmoe2", &kQwen2},
    {"bloom", &kBloom},
    {"chameleon", &kChameleon},
    {"chatglm-bpe", &kLlama3},
    {"codeshell", &kStarcoder},
    {"cohere2moe", &kTinyAya},
    {"command-r", &kStarcoder},
    {"dbrx", &kLlama3},
    {"deepseek-coder", &kDeepseekCoder},
    {"deepseek-llm", &kDeepseekLlm},
    {"deepseek-r1-qwen", &kQwen2},
    {"deepseek-v3", &kDeepseekV3},
    {"default", &kDefault},
    {"exaone", &kStarcoder},
    {"exaone-moe", &kExaoneMoe},
    {"exaone4", &kGpt2},
    {"f2llmv2", &kQwen2},
    {"falcon", &kFalcon},
    {"falcon-h1", &kLlama3Whole},
    {"falcon3", &kLlama3Whole},
    {"gigachat", &kGpt2},
    {"glm4", &kLlama3Whole},
    {"glm5", &kLlama3Whole},
    {"gpt-2", &kGpt2},
    {"gpt-4o", &kGpt4oRule},
    {"gpt3-finnish", &kBloom},
    {"granite-docling", &kGpt2},
    {"granite-embed-multi-97m", &kGraniteEmbedding},
    {"grok-2", &kQwen2},
    {"hunyuan", &kQwen2},
    {"hunyuan-dense", &kDeepseekV3},
    {"hy_v4", &kDeepseekV3},
    {"jais", &kGpt2},
    {"jais-2", &kJais2},
    {"jina-de", &kGpt2},
    {"jina-es", &kGpt2},
    {"jina-v1-en", &kGpt2},
    {"jina-v2-code", &kGpt2},
    {"jina-v2-de", &kGpt2},
    {"jina-v2-es", &kGpt2},
    {"jina-v5-nano", &kLlama3Whole},
    {"joyai-llm", &kDeepseekV3},
    {"kanana2", &kGpt4oRule},
    {"kimi-k2", &kKimiK2},
    {"kormo", &kQwen2},
    {"laguna", &kLaguna},
    {"lfm2", &kLlama3Whole},
    {"llada-moe", &kQwen2},
    {"llama-bpe", &kLlama3Whole},
    {"llama-v3", &kLlama3Whole},
    {"llama3", &kLlama3Whole},
    {"llama4", &kGpt4oRule},
    {"megrez", &kQwen2},
    {"mellum", &kGpt2},
    {"mellum2", &kStarcoder},
    {"midm-2.0", &kLlama3Whole},
    {"minerva-7b", &kStarcoder},
    {"minicpm5", &kMinicpm5},
    {"minimax-m2", &kGpt4oRule},
    {"modern-bert", &kGpt2},
    {"mpt", &kGpt2},
    {"olmo", &kGpt2},
    {"phi-2", &kGpt2},
    {"pixtral", &kLlama3Whole},
    {"poro-chat", &kBloom},
    {"qwen2", &kQwen2},
    {"qwen35", &kQwen35},
    {"refact", &kStarcoder},
    {"roberta-bpe", &kGpt2},
    {"seed-coder", &kSeedCoder},
    {"smaug-bpe", &kLlama3},
    {"smollm", &kStarcoder},
    {"solar-open", &kQwen2},
    {"spark2_5", &kSpark},
    {"stablelm2", &kQwen2},
    {"starcoder", &kStarcoder},
    {"superbpe", &kSuperBpe},
    {"talkie", &kGpt4oRule},
    {"tekken", &kTekken},
    {"tiny_aya", &kTinyAya},
    {"trillion", &kGpt2},
    {"ufakzeka", &kUfakzeka},
    {"viking", &kViking},
    {"youtu", &kYoutu},
};

}  // namespace

const WordRule* findWordRule(std::string_view name) {
  for (const auto& each : kNames) {
    if (each.name == name) return each.rule;
  }
  return nullptr;
}

}  // namespace stator::text
