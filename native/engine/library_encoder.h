#pragma once
#include <memory>

#include "engine/model.h"
#include "text/plain.h"

namespace stator {

/// An encoder of plain text for vocabularies that we do not know ourselves: the engine library's own. Keeps the model.
std::unique_ptr<text::PlainEncoder> makeLibraryEncoder(std::shared_ptr<Model> model);

}  // namespace stator
