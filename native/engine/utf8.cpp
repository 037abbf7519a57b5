#include "engine/utf8.h"

namespace stator {
namespace {

Utf8 within(uint8_t byte, uint8_t first, uint8_t last, Utf8 next) {
  return byte >= first && byte <= last ? next : Utf8::broken;
}

Utf8 lead(uint8_t byte) {
  if (byte < 0x80) return Utf8::start;
  if (byte < 0xE0) return within(byte, 0xC2, 0xDF, Utf8::oneMore);
  switch (byte) {
    case 0xE0: return Utf8::afterE0;
    case 0xED: return Utf8::afterEd;
    case 0xF0: return Utf8::afterF0;
    case 0xF4: return Utf8::afterF4;
    default: return byte < 0xF0 ? Utf8::twoMore : within(byte, 0xF1, 0xF3, Utf8::threeMore);
  }
}

Utf8 afterByte(Utf8 state, uint8_t byte) {
  switch (state) {
    case Utf8::start: return lead(byte);
    case Utf8::oneMore: return within(byte, 0x80, 0xBF, Utf8::start);
    case Utf8::twoMore: return within(byte, 0x80, 0xBF, Utf8::oneMore);
    case Utf8::threeMore: return within(byte, 0x80, 0xBF, Utf8::twoMore);
    case Utf8::afterE0: return within(byte, 0xA0, 0xBF, Utf8::oneMore);
    case Utf8::afterEd: return within(byte, 0x80, 0x9F, Utf8::oneMore);
    case Utf8::afterF0: return within(byte, 0x90, 0xBF, Utf8::twoMore);
    case Utf8::afterF4: return within(byte, 0x80, 0x8F, Utf8::twoMore);
    case Utf8::broken: break;
  }
  return Utf8::broken;
}

}  // namespace

Utf8 utf8After(Utf8 state, std::string_view bytes) {
  for (const char byte : bytes) state = afterByte(state, static_cast<uint8_t>(byte));
  return state;
}

Utf8States statesBefore(std::string_view bytes) {
  Utf8States states = 0;
  for (unsigned i = 0; i < static_cast<unsigned>(Utf8::broken); i++) {
    const auto state = static_cast<Utf8>(i);
    if (utf8After(state, bytes) != Utf8::broken) states |= only(state);
  }
  return states;
}

}  // namespace stator
