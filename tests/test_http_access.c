/* test_http_access.c - who may ask, over raw sockets: tokens and scopes, how often, and pages from elsewhere. */
#include "tests/http_front.h"

#include "server/rate.h"
#include "server/token.h"

#define REQUEST(LINE, HEADERS) LINE " HTTP/1.1\r\n" HEADERS "X-End: 1"
#define AS(TOKEN)              "Authorization: Bearer " TOKEN "\r\n"
#define FROM(PAGE)             "Origin: " PAGE "\r\n"
#define NPY                    "Content-Type: application/octet-stream\r\nContent-Length: 4\r\n"

static char tokens_name[] = "/tmp/rematd-access-XXXXXX";
static struct token_file *tokens;
static struct rate *rate;

/* Who asked, as a handler sees it. */
static bool who(struct request *request, struct response *response, struct problem *why) {
    (void)why;
    response->content_type = "text/plain";
    response->body = request->client;
    response->body_bytes = strlen(request->client);
    return true;
}

static const struct route who_routes[] = {{"GET", "/open", BODY_NONE, who, SCOPE_OPEN},
                                          {"GET", "/read", BODY_NONE, who, SCOPE_READ},
                                          {"POST", "/submit", BODY_NONE, who, SCOPE_SUBMIT},
                                          {"GET", "/admin", BODY_NONE, who, SCOPE_ADMIN},
                                          {"GET", "/metrics", BODY_NONE, who, SCOPE_METRICS},
                                          {"GET", "/readyz", BODY_NONE, who, SCOPE_OPEN},
                                          {"POST", "/files", BODY_STREAM, store, SCOPE_SUBMIT},
                                          {"POST", "/plans", BODY_JSON, echo, SCOPE_READ},
                                          {0}};
static const struct route *const who_tables[] = {who_routes, NULL};

static void begin(struct http_options options, const char *lines) {
    struct problem why = {0};
    strcpy(strstr(tokens_name, "access-") + 7, "XXXXXX");
    FILE *file = lines ? fdopen(mkstemp(tokens_name), "w") : NULL;
    if (file) {
        fputs(lines, file);
        fclose(file);
        tokens = token_open(tokens_name, &why);
        cr_assert_not_null(tokens, "%s", why.detail);
    }
    options.tokens = tokens;
    options.rate = rate;
    options.tables = who_tables;
    front_start(options);
}

static void end(void) {
    stop();
    if (tokens)
        remove(tokens_name);
    token_close(tokens);
    rate_free(rate);
    tokens = NULL;
    rate = NULL;
}

/* of "alice", "bob", "carol", and of nothing */
static void with_tokens(void) {
    begin((struct http_options){0}, "a read sha256:2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90\n"
                                    "b read,submit 81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9\n"
                                    "c admin 4c26d9074c27d89ede59270c0ac14b71e071b15239519f75474b2f3ba63481f5\n"
                                    "nothing admin e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n");
}

static bool answer_has(const char *text) {
    return strstr(answer, text) != NULL;
}

Test(http_access, scopes, .init = with_tokens, .fini = end) {
    static const struct {
        const char *line;
        unsigned nobody, wrong, read, submit, admin; /* statuses */
    } rows[] = {
        {"GET /open", 200, 200, 200, 200, 200},    {"GET /read", 401, 401, 200, 200, 200},
        {"HEAD /read", 401, 401, 200, 200, 200},   {"POST /submit", 401, 401, 403, 200, 200},
        {"GET /admin", 401, 401, 403, 403, 200},   {"GET /metrics", 401, 401, 200, 200, 200},
        {"GET /readyz", 200, 200, 200, 200, 200},  {"GET /nothing", 404, 404, 404, 404, 404},
        {"DELETE /read", 405, 405, 405, 405, 405},
    };
    static const char *const asking[] = {"", AS("mallory"), AS("alice"), AS("bob"), AS("carol")};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const unsigned wanted[] = {rows[i].nobody, rows[i].wrong, rows[i].read, rows[i].submit, rows[i].admin};
        for (size_t k = 0; k < 5; k++) {
            char head[256];
            snprintf(head, sizeof head, "%s HTTP/1.1\r\n%sX-End: 1", rows[i].line, asking[k]);
            cr_expect_eq(ask_end(head, ""), wanted[k], "%s, %s: %s", rows[i].line, asking[k], answer);
            cr_expect_eq(answer_has("WWW-Authenticate: Bearer"), wanted[k] == 401 || wanted[k] == 403, "%s", answer);
        }
    }
}

Test(http_access, refusals_say_what_is_missing, .init = with_tokens, .fini = end) {
    cr_expect_eq(ask_end(REQUEST("GET /read", ""), ""), 401);
    cr_expect(answer_has("WWW-Authenticate: Bearer realm=\"rematd\"\r\n"), "%s", answer);
    cr_expect(answer_has("/problems/unauthorized"), "%s", answer);
    cr_expect_eq(ask_end(REQUEST("GET /read", AS("mallory")), ""), 401);
    cr_expect(answer_has("error=\"invalid_token\"") && !answer_has("mallory"), "%s", answer);
    cr_expect_eq(ask_end(REQUEST("POST /submit", AS("alice")), ""), 403);
    cr_expect(answer_has("error=\"insufficient_scope\", scope=\"submit\""), "%s", answer);
    cr_expect(answer_has("'submit', which token 'a' has not") && answer_has("/problems/forbidden"), "%s", answer);
}

Test(http_access, handlers_know_the_name, .init = with_tokens, .fini = end) {
    cr_expect_eq(ask_end(REQUEST("GET /read", AS("bob")), ""), 200);
    cr_expect_str_eq(body_of(answer), "b");
    cr_expect_eq(ask_end(REQUEST("GET /open", AS("carol")), ""), 200);
    cr_expect_str_eq(body_of(answer), "c");
    cr_expect_eq(ask_end(REQUEST("GET /open", AS("mallory")), ""), 200);
    cr_expect_str_eq(body_of(answer), "");
}

Test(http_access, how_a_token_is_written, .init = with_tokens, .fini = end) {
    static const struct {
        const char *value;
        unsigned status;
    } rows[] = {{"bearer alice", 200},     {"BEARER  alice", 200}, {"Bearer alice ", 200},    {"Bearer", 401},
                {"Bearer ", 401},          {"alice", 401},         {"Basic YTphbGljZQ", 401}, {"Bearer alic", 401},
                {"Bearer alice,bob", 401}, {"Bearer Alice", 401},  {"Bearer\talice", 401}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char head[256];
        snprintf(head, sizeof head, "GET /read HTTP/1.1\r\nAuthorization: %s", rows[i].value);
        cr_expect_eq(ask_end(head, ""), rows[i].status, "%s: %s", rows[i].value, answer);
    }
    cr_expect_eq(ask_end(REQUEST("GET /read", AS("alice") AS("bob")), ""), 400);
    cr_expect_eq(ask_end(REQUEST("GET /read?access_token=alice", ""), ""), 401);
}

/* Refused before the body is looked at: nothing is stored, no type is asked for. */
Test(http_access, bodies_of_strangers_are_not_read, .init = with_tokens, .fini = end) {
    cr_expect_eq(ask_end(REQUEST("POST /files", NPY), "abcd"), 401);
    cr_expect_eq(ask_end(REQUEST("POST /files", "Content-Length: 99999999\r\nExpect: 100-continue\r\n"), ""), 401);
    cr_expect_eq(ask_end(REQUEST("POST /files", AS("alice") NPY), "abcd"), 403);
    cr_expect_eq(ask_end(REQUEST("POST /files", AS("bob") NPY), "abcd"), 201);
}

Test(http_access, without_tokens_anybody, .fini = end) {
    begin((struct http_options){0}, NULL);
    cr_expect_eq(ask_end(REQUEST("POST /submit", ""), ""), 200);
    cr_expect_str_eq(body_of(answer), "");
    cr_expect_eq(ask_end(REQUEST("GET /admin", AS("whatever")), ""), 200);
    cr_expect_str_eq(body_of(answer), "");
}

Test(http_access, metrics_may_be_open, .fini = end) {
    begin((struct http_options){.open_metrics = true},
          "a submit 2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90\n");
    cr_expect_eq(ask_end(REQUEST("GET /metrics", ""), ""), 200);
    cr_expect_eq(ask_end(REQUEST("GET /metrics", AS("alice")), ""), 200);
    cr_expect_eq(ask_end(REQUEST("GET /read", ""), ""), 401);
    cr_expect_eq(ask_end(REQUEST("GET /read", AS("alice")), ""), 403);
}

/* ---- how often ---- */

Test(http_access, a_token_s_requests_are_its_own, .fini = end) {
    struct problem why = {0};
    rate = rate_new(1, 3, &why);
    with_tokens();
    for (int i = 0; i < 3; i++)
        cr_expect_eq(ask_end(REQUEST("GET /read", AS("alice")), ""), 200, "%s", answer);
    cr_expect_eq(ask_end(REQUEST("GET /read", AS("alice")), ""), 429);
    cr_expect(answer_has("Retry-After: 1\r\n") && answer_has("/problems/too-many-requests"), "%s", answer);
    cr_expect_eq(ask_end(REQUEST("GET /read", AS("bob")), ""), 200);
    for (int i = 0; i < 3; i++) /* guesses are the address's */
        cr_expect_eq(ask_end(REQUEST("GET /read", AS("mallory")), ""), 401);
    cr_expect_eq(ask_end(REQUEST("GET /read", AS("mallory")), ""), 429);
    cr_expect_eq(ask_end(REQUEST("GET /open", ""), ""), 429);
    cr_expect_eq(ask_end(REQUEST("POST /submit", AS("bob")), ""), 200); /* a token is not held back by them */
    cr_expect_eq(ask_end(REQUEST("GET /nothing", ""), ""), 429);        /* what is not there counts as well */
    for (int i = 0; i < 10; i++)
        cr_expect_eq(ask_end(REQUEST("GET /readyz", ""), ""), 200);
}

Test(http_access, an_address_without_tokens, .fini = end) {
    struct problem why = {0};
    rate = rate_new(1, 2, &why);
    begin((struct http_options){0}, NULL);
    cr_expect_eq(ask_end(REQUEST("GET /read", ""), ""), 200);
    cr_expect_eq(ask_end(REQUEST("GET /read", AS("other")), ""), 200);
    cr_expect_eq(ask_end(REQUEST("GET /read", AS("another")), ""), 429);
    cr_expect_eq(ask_end(REQUEST("POST /plans", "Content-Type: application/json\r\nContent-Length: 2\r\n"), "{}"), 429);
}

/* ---- pages from elsewhere ---- */

static void with_origins(void) {
    begin((struct http_options){.origins = "https://lab.example, http://desk.example:3000"}, NULL);
}

static bool is_shared_with(const char *origin) {
    char line[128];
    snprintf(line, sizeof line, "Access-Control-Allow-Origin: %s\r\n", origin);
    return answer_has(line);
}

Test(http_access, listed_pages_read_answers, .init = with_origins, .fini = end) {
    cr_expect_eq(ask_end(REQUEST("GET /read", FROM("https://lab.example")), ""), 200);
    cr_expect(is_shared_with("https://lab.example") && answer_has("Vary: Origin\r\n"), "%s", answer);
    cr_expect(answer_has("Access-Control-Expose-Headers: "), "%s", answer);
    cr_expect_eq(ask_end(REQUEST("POST /submit", FROM("http://desk.example:3000")), ""), 200);
    cr_expect(is_shared_with("http://desk.example:3000"), "%s", answer);
    cr_expect_eq(ask_end(REQUEST("GET /nothing", FROM("https://lab.example")), ""), 404);
    cr_expect(is_shared_with("https://lab.example"), "%s", answer); /* a page may know what went wrong */
    cr_expect_eq(ask_end(REQUEST("GET /read", ""), ""), 200);
    cr_expect(answer_has("Vary: Origin\r\n") && !answer_has("Access-Control"), "%s", answer);
    cr_expect_eq(ask_end(REQUEST("GET /read", FROM("https://other.example")), ""), 200);
    cr_expect_not(answer_has("Access-Control"), "%s", answer);
}

Test(http_access, preflights, .init = with_origins, .fini = end) {
#define WANTS "Access-Control-Request-Method: POST\r\n"
    cr_expect_eq(ask_end(REQUEST("OPTIONS /submit", FROM("https://lab.example") WANTS), ""), 204);
    cr_expect(is_shared_with("https://lab.example") && answer_has("Vary: Origin\r\n"), "%s", answer);
    cr_expect(answer_has("Access-Control-Allow-Methods: ") && answer_has("Access-Control-Max-Age: "), "%s", answer);
    cr_expect(strstr(strstr(answer, "Access-Control-Allow-Headers: "), "Authorization"), "%s", answer);
    cr_expect_eq(ask_end(REQUEST("OPTIONS /submit", FROM("https://other.example") WANTS), ""), 405);
    cr_expect_not(answer_has("Access-Control"), "%s", answer);
    cr_expect_eq(ask_end(REQUEST("OPTIONS /submit", FROM("https://lab.example")), ""), 405);
    cr_expect_eq(ask_end(REQUEST("OPTIONS /submit", WANTS), ""), 405);
    cr_expect_eq(ask_end(REQUEST("OPTIONS /submit", FROM("https://lab.example") WANTS "Content-Length: 2\r\n"), "{}"),
                 405);
}

/* What the Host list lets through: pages elsewhere that post to our own name. */
Test(http_access, pages_elsewhere_change_nothing, .init = with_origins, .fini = end) {
    static const struct {
        const char *origin;
        unsigned submits; /* 200 or 403 */
    } rows[] = {
        {"https://lab.example", 200},
        {"http://localhost", 200}, /* the Host that ask_end sends */
        {"http://desk.example:3000", 200},
        {"https://evil.example", 403},
        {"http://lab.example", 403},
        {"https://lab.example:8443", 403},
        {"https://lab.example.evil", 403},
        {"null", 403},
        {"http://localhost:3000", 403},
        {"https://lab.example,https://evil.example", 403},
        {"localhost", 403},
        {"", 403},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char head[256];
        snprintf(head, sizeof head, "POST /submit HTTP/1.1\r\nOrigin: %s", rows[i].origin);
        cr_expect_eq(ask_end(head, ""), rows[i].submits, "'%s': %s", rows[i].origin, answer);
        cr_expect(rows[i].submits == 200 || answer_has("--allowed-origins"), "%s", answer);
        snprintf(head, sizeof head, "GET /read HTTP/1.1\r\nOrigin: %s", rows[i].origin);
        cr_expect_eq(ask_end(head, ""), 200, "'%s': %s", rows[i].origin, answer);
    }
    cr_expect_eq(ask_end(REQUEST("POST /files", FROM("https://evil.example") "Content-Length: 4\r\n"), "abcd"), 403);
}

Test(http_access, by_default_no_page_is_listed, .fini = end) {
    begin((struct http_options){0}, NULL);
    cr_expect_eq(ask_end(REQUEST("POST /submit", FROM("https://lab.example")), ""), 403);
    cr_expect_eq(ask_end(REQUEST("POST /submit", FROM("http://localhost")), ""), 200);
    cr_expect_not(answer_has("Vary") || answer_has("Access-Control"), "%s", answer);
    cr_expect_eq(ask_end(REQUEST("OPTIONS /submit", FROM("https://lab.example") WANTS), ""), 405);
}

Test(http_access, a_page_with_a_token_may, .init = with_tokens, .fini = end) {
    cr_expect_eq(ask_end(REQUEST("POST /submit", FROM("https://evil.example") AS("bob")), ""), 200);
    cr_expect_eq(ask_end(REQUEST("POST /submit", FROM("https://evil.example")), ""), 401);
}
