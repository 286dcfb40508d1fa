/* Keel's command line of any bytes: each word that is named as unknown lies inside it. */
#include "fuzz.h"

#include "hv/options.h"

static char text[4097];
static size_t text_length;

static void unknown(const char *word, size_t length)
{
    CHECK(word >= text && length > 0 && word + length <= text + text_length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct options options;
    size_t length = size < sizeof(text) - 1 ? size : sizeof(text) - 1;
    memcpy(text, data, length);
    text[length] = '\0';
    text_length = strlen(text);
    options_parse(text, &options, unknown);
    CHECK(options.console_baud > 0 && 115200 % options.console_baud == 0);
    CHECK(options.log_level <= LOG_DEBUG);
    return 0;
}
