#include "check.h"

int main() { return stator::test::runTests(); }
