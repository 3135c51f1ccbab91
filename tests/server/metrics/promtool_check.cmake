# Pipes a scrape into `promtool check metrics`, which must succeed and print nothing.
# Usage: cmake -DSCRAPE=program -DPROMTOOL=program -P promtool_check.cmake
execute_process(COMMAND ${SCRAPE} COMMAND ${PROMTOOL} check metrics
  RESULTS_VARIABLE results OUTPUT_VARIABLE printed ERROR_VARIABLE printed)
if(NOT results STREQUAL "0;0" OR NOT printed STREQUAL "")
  message(FATAL_ERROR "promtool check metrics: results ${results}, printed:\n${printed}")
endif()
