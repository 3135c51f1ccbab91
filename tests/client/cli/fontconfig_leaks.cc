// Fontconfig keeps the patterns of its first match until the process ends, and Cairo's text goes through it. The leak
// checker asks this function what to overlook; without the checker nobody calls it.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:libfontconfig\n"; }
