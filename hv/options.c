/* See options.h. */
#include "hv/options.h"

#include "lib/string.h"

/* A part of a string, not terminated. */
struct word {
    const char *text;
    size_t length;
};

/* Takes the part of *rest up to the separator off its front. False: nothing is left. */
static bool next_word(struct word *rest, char separator, struct word *word)
{
    while (rest->length > 0 && rest->text[0] == separator) {
        rest->text++;
        rest->length--;
    }
    word->text = rest->text;
    word->length = 0;
    while (word->length < rest->length && rest->text[word->length] != separator)
        word->length++;
    rest->text += word->length;
    rest->length -= word->length;
    return word->length > 0;
}

static bool word_is(struct word word, const char *text)
{
    return word.length == strlen(text) && strncmp(word.text, text, word.length) == 0;
}

/* If the word begins with prefix, what follows it. */
static bool word_after(struct word word, const char *prefix, struct word *value)
{
    size_t length = strlen(prefix);
    if (word.length < length || strncmp(word.text, prefix, length) != 0)
        return false;
    *value = (struct word){word.text + length, word.length - length};
    return true;
}

/* The index of the word among count names, or count. */
static unsigned word_index(struct word word, const char *const *names, unsigned count)
{
    unsigned i = 0;
    while (i < count && !word_is(word, names[i]))
        i++;
    return i;
}

static bool parse_number(struct word word, uint32_t *number)
{
    uint64_t value = 0;
    for (size_t i = 0; i < word.length; i++) {
        if (word.text[i] < '0' || word.text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(word.text[i] - '0');
        if (value > UINT32_MAX)
            return false;
    }
    *number = (uint32_t)value;
    return word.length > 0;
}

static bool parse_console(struct word value, struct options *options)
{
    static const char *const names[] = {"com1", "com2", "com3", "com4", "none"};
    static const uint16_t ports[] = {0x3f8, 0x2f8, 0x3e8, 0x2e8, 0};
    struct word part;

    if (!next_word(&value, ',', &part))
        return false;
    unsigned index = word_index(part, names, ARRAY_LENGTH(names));
    if (index == ARRAY_LENGTH(names))
        return false;
    uint32_t baud = 115200;
    /* Linux's console is COM1 unless it is told otherwise: a port that is not is Keel's. */
    bool keep = index != 0;
    while (next_word(&value, ',', &part)) {
        if (word_is(part, "keep"))
            keep = true;
        else if (!parse_number(part, &baud) || baud == 0 || baud > 115200 || 115200 % baud != 0)
            return false;
    }
    options->console_port = ports[index];
    options->console_baud = baud;
    options->console_keep = keep;
    return true;
}

static bool parse_word(struct word word, struct options *options)
{
    static const char *const levels[] = {"error", "warning", "info", "debug"};
    struct word value;

    if (word_after(word, "console=", &value))
        return parse_console(value, options);
    if (word_after(word, "loglevel=", &value)) {
        unsigned level = word_index(value, levels, ARRAY_LENGTH(levels));
        if (level == ARRAY_LENGTH(levels))
            return false;
        options->log_level = (enum log_level)level;
        return true;
    }
    if (word_after(word, "fallback=", &value)) {
        options->fallback_linux = word_is(value, "linux");
        return options->fallback_linux || word_is(value, "stop");
    }
    if (word_after(word, "keel=", &value)) {
        options->off = word_is(value, "off");
        return options->off || word_is(value, "on");
    }
    if (word_after(word, "fail-cpu=", &value))
        return parse_number(value, &options->fail_cpu);
    if (word_after(word, "panic-cpu=", &value))
        return parse_number(value, &options->panic_cpu);
    return false;
}

void options_parse(const char *text, struct options *options, options_unknown_fn unknown)
{
    struct word rest = {text, strlen(text)};
    struct word word;

    *options = (struct options){
        .console_port = 0x3f8,
        .console_baud = 115200,
        .log_level = LOG_INFO,
    };
    while (next_word(&rest, ' ', &word)) {
        if (!parse_word(word, options) && unknown != NULL)
            unknown(word.text, word.length);
    }
}
