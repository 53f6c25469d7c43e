/* rematctl_svg.c - a frontier drawn: peak memory to the right, compute on top of standard upwards. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clients/c/rematctl.h"

#define WIDTH  960.0
#define HEIGHT 600.0
#define LEFT   76.0 /* the frame */
#define RIGHT  930.0
#define TOP    128.0
#define BOTTOM 536.0

#define LABEL_HEIGHT   14.0
#define LABEL_CHAR     6.3 /* the width of one at 11 px, on average and a little more */
#define DOT            4.0
#define TICKS          7.0 /* about so many on an axis */
#define POINTS_AS_DOTS 40u /* more of them are a line alone */

/* The vertical axis goes a part past the last thing of interest: near the least memory an exact frontier rises without
 * end, and would flatten all else. */
#define OVERHEAD_BEYOND    1.5
#define OVERHEAD_LEAST_PCT 10.0
#define OVERHEAD_ALONE_PCT 66.0 /* where nothing but standard has a name */

struct box {
    double x0, y0, x1, y1;
};

struct plot {
    FILE *to;
    const struct frontier *f;
    double low, high, top;   /* axes: bytes from low to high, overhead from 0 to top */
    double unit_bytes;       /* of the horizontal axis */
    const char *unit_name;   /* GiB */
    double bytes_tick, tick; /* one tick of each */
    struct box *taken;       /* where no label may be */
    size_t n_taken, most_taken;
};

/* ---- text ---- */

static void text_put(const struct plot *p, const char *text) {
    for (; *text; text++) {
        if (*text == '<' || *text == '>' || *text == '&' || *text == '"')
            fprintf(p->to, "&#%d;", *text);
        else if ((unsigned char)*text >= ' ')
            fputc(*text, p->to);
    }
}

static void text_at(const struct plot *p, double x, double y, const char *class, const char *anchor, double size,
                    const char *text) {
    fprintf(p->to, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\" text-anchor=\"%s\" font-size=\"%.3g\">", x, y, class,
            anchor, size);
    text_put(p, text);
    fputs("</text>\n", p->to);
}

static void line_at(const struct plot *p, double x0, double y0, double x1, double y1, const char *class) {
    fprintf(p->to, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>\n", x0, y0, x1, y1, class);
}

/* ---- scales ---- */

static double x_of(const struct plot *p, double bytes) {
    return LEFT + (RIGHT - LEFT) * (bytes - p->low) / (p->high - p->low);
}

static double y_of(const struct plot *p, double pct) {
    return BOTTOM - (BOTTOM - TOP) * pct / p->top;
}

/* 1, 2 or 5 times a power of ten, about TICKS of them in the range. */
static double tick_of(double range) {
    const double rough = range / TICKS, power = pow(10, floor(log10(rough)));
    const double times = rough / power;
    return power * (times <= 1 ? 1 : times <= 2 ? 2 : times <= 5 ? 5 : 10);
}

/* How far up: all of it, unless the frontier's end rises far beyond everything that has a name. */
static double top_of(const struct frontier *f) {
    double all = 0, named = 0;
    for (size_t i = 0; i < f->n; i++) {
        all = fmax(all, f->rows[i].overhead_pct);
        if (f->rows[i].named || f->rows[i].knee)
            named = fmax(named, f->rows[i].overhead_pct);
    }
    named = named > 0 ? fmax(named, OVERHEAD_LEAST_PCT) : OVERHEAD_ALONE_PCT;
    return fmax(1, fmin(all * 1.08, named * OVERHEAD_BEYOND));
}

static void scales_make(struct plot *p) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double least = INFINITY, most = 0;
    size_t unit = 0;
    p->top = top_of(p->f);
    for (size_t i = 0; i < p->f->n; i++) {
        most = fmax(most, p->f->rows[i].peak_bytes);
        if (p->f->rows[i].overhead_pct <= p->top)
            least = fmin(least, p->f->rows[i].peak_bytes);
    }
    p->unit_bytes = 1;
    for (; most / p->unit_bytes >= 2048 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        p->unit_bytes *= 1024;
    p->unit_name = units[unit];
    most = fmax(most, 1);
    least = fmin(least, most);
    p->low = least < 0.4 * most ? 0 : fmax(0, least - 0.1 * (most - least) - 0.02 * most);
    p->high = most + 0.06 * (most - p->low);
    p->bytes_tick = tick_of((p->high - p->low) / p->unit_bytes) * p->unit_bytes;
    p->tick = tick_of(p->top);
    p->low = floor(p->low / p->bytes_tick) * p->bytes_tick;
}

/* ---- where labels may be ---- */

static void take(struct plot *p, struct box b) {
    if (p->n_taken < p->most_taken)
        p->taken[p->n_taken++] = b;
}

static bool is_free(const struct plot *p, struct box b) {
    if (b.x0 < LEFT || b.x1 > RIGHT || b.y0 < TOP || b.y1 > BOTTOM)
        return false;
    for (size_t i = 0; i < p->n_taken; i++) {
        const struct box *t = &p->taken[i];
        if (b.x0 < t->x1 && t->x0 < b.x1 && b.y0 < t->y1 && t->y0 < b.y1)
            return false;
    }
    return true;
}

/* ---- the parts ---- */

static void head_put(const struct plot *p) {
    const double size = fmin(17, (RIGHT - LEFT) / (0.56 * (double)(strlen(p->f->title) + 1)));
    fprintf(p->to,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" "
            "font-family=\"system-ui, 'DejaVu Sans', Arial, sans-serif\" role=\"img\">\n<title>",
            WIDTH, HEIGHT, WIDTH, HEIGHT);
    text_put(p, p->f->title);
    fputs("</title>\n<style>\n"
          ".paper{fill:#ffffff} .ink{fill:#1f2328} .dim{fill:#59636e} .grid{stroke:#d1d9e0;stroke-width:.6}\n"
          ".axis{stroke:#59636e} .line{stroke:#0969da;stroke-width:2;fill:none} .point{fill:#0969da}\n"
          ".end{stroke:#0969da;stroke-dasharray:3 4} .named{fill:#bc4c00} .lead{stroke:#59636e;stroke-width:.6}\n"
          ".knee{stroke:#cf222e;stroke-width:2;fill:none} .kneetext{fill:#cf222e}\n"
          "@media (prefers-color-scheme: dark) {\n"
          ".paper{fill:#0d1117} .ink{fill:#f0f6fc} .dim{fill:#9198a1} .grid{stroke:#3d444d}\n"
          ".axis{stroke:#9198a1} .line{stroke:#4493f8} .point{fill:#4493f8}\n"
          ".end{stroke:#4493f8} .named{fill:#f0883e} .lead{stroke:#9198a1}\n"
          ".knee{stroke:#ff7b72} .kneetext{fill:#ff7b72}\n"
          "}\n</style>\n",
          p->to);
    fprintf(p->to, "<clipPath id=\"frame\"><rect x=\"%.0f\" y=\"%.0f\" width=\"%.0f\" height=\"%.0f\"/></clipPath>\n",
            LEFT, TOP, RIGHT - LEFT, BOTTOM - TOP);
    fprintf(p->to, "<rect width=\"%.0f\" height=\"%.0f\" class=\"paper\"/>\n", WIDTH, HEIGHT);
    text_at(p, LEFT, 34, "ink", "start", size, p->f->title);
}

/* "standard 12.5 GiB; knee 6.21 GiB (49.7 %) at +3.1 %; least 3.66 GiB (29.3 %) at +20.1 %". */
static void subtitle_put(const struct plot *p) {
    const struct frontier *f = p->f;
    const struct frontier_row *knee = NULL, *least = &f->rows[0];
    char text[256];
    for (size_t i = 0; i < f->n; i++) {
        if (f->rows[i].knee)
            knee = &f->rows[i];
        if (f->rows[i].point)
            least = &f->rows[i];
    }
    int n = snprintf(text, sizeof text, "standard %.4g %s", f->standard_bytes / p->unit_bytes, p->unit_name);
    const struct frontier_row *const told[] = {knee, least};
    for (size_t i = 0; i < 2; i++)
        if (told[i])
            n += snprintf(text + n, sizeof text - (size_t)n, "; %s %.4g %s (%.1f %%) at +%.3g %% compute",
                          i ? "least" : "knee", told[i]->peak_bytes / p->unit_bytes, p->unit_name,
                          100 * told[i]->peak_bytes / f->standard_bytes, told[i]->overhead_pct);
    text_at(p, LEFT, 56, "dim", "start", 13, text);
}

static void legend_put(const struct plot *p) {
    bool knee = false;
    for (size_t i = 0; i < p->f->n; i++)
        knee |= p->f->rows[i].knee;
    line_at(p, LEFT, 78, LEFT + 26, 78, "line");
    text_at(p, LEFT + 34, 82, "ink", "start", 12,
            p->f->proven ? "frontier: nothing is lower in both" : "frontier: the best that was found");
    fprintf(p->to, "<circle cx=\"%.1f\" cy=\"78\" r=\"%.1f\" class=\"named\"/>\n", LEFT + 262, DOT);
    text_at(p, LEFT + 272, 82, "ink", "start", 12, "named strategies");
    if (knee) {
        fprintf(p->to, "<circle cx=\"%.1f\" cy=\"78\" r=\"%.1f\" class=\"knee\"/>\n", LEFT + 402, DOT + 3);
        text_at(p, LEFT + 415, 82, "ink", "start", 12, "knee");
    }
}

static void axes_put(const struct plot *p) {
    char text[64];
    for (double i = ceil(p->low / p->bytes_tick); i * p->bytes_tick <= p->high; i++) {
        const double x = x_of(p, i * p->bytes_tick);
        line_at(p, x, TOP, x, BOTTOM, "grid");
        snprintf(text, sizeof text, "%.6g", i * p->bytes_tick / p->unit_bytes);
        text_at(p, x, BOTTOM + 18, "ink", "middle", 12, text);
    }
    for (double i = 0; i * p->tick <= p->top; i++) {
        const double y = y_of(p, i * p->tick);
        line_at(p, LEFT, y, RIGHT, y, "grid");
        snprintf(text, sizeof text, "%.6g %%", i * p->tick);
        text_at(p, LEFT - 8, y + 4, "ink", "end", 12, text);
    }
    for (double pct = 0, step = (p->high - p->low) / p->f->standard_bytes > 0.5 ? 20 : 10; pct <= 200; pct += step) {
        const double bytes = pct / 100 * p->f->standard_bytes, x = x_of(p, bytes);
        if (bytes < p->low || bytes > p->high)
            continue;
        line_at(p, x, TOP - 5, x, TOP, "axis");
        snprintf(text, sizeof text, "%.0f %%", pct);
        text_at(p, x, TOP - 9, "dim", "middle", 11, text);
    }
    text_at(p, RIGHT, TOP - 26, "dim", "end", 11, "of standard's memory");
    line_at(p, LEFT, BOTTOM, RIGHT, BOTTOM, "axis");
    line_at(p, LEFT, TOP, LEFT, BOTTOM, "axis");
    line_at(p, LEFT, TOP, RIGHT, TOP, "axis");
    snprintf(text, sizeof text, "peak memory, %s", p->unit_name);
    text_at(p, (LEFT + RIGHT) / 2, BOTTOM + 42, "ink", "middle", 13, text);
    fprintf(p->to,
            "<text transform=\"translate(20 %.1f) rotate(-90)\" class=\"ink\" text-anchor=\"middle\" "
            "font-size=\"13\">compute beyond no recomputation</text>\n",
            (TOP + BOTTOM) / 2);
}

/* A budget between two points buys the lighter one: the line goes left on its height, and up where memory ends. */
static void frontier_put(struct plot *p) {
    double x = RIGHT, y = BOTTOM;
    bool first = true;
    fputs("<g clip-path=\"url(#frame)\">\n<path class=\"line\" d=\"", p->to);
    for (size_t i = 0; i < p->f->n; i++) {
        const struct frontier_row *row = &p->f->rows[i];
        const double to_x = x_of(p, row->peak_bytes), to_y = y_of(p, row->overhead_pct);
        if (!row->point)
            continue;
        if (first)
            fprintf(p->to, "M%.1f %.1f", x, to_y);
        else {
            fprintf(p->to, "V%.1f", to_y);
            take(p, (struct box){x - 2, fmin(y, to_y) - 2, x + 2, fmax(y, to_y) + 2});
        }
        fprintf(p->to, "H%.1f", to_x);
        take(p, (struct box){to_x - 2, to_y - 2, x + 2, to_y + 2});
        x = to_x;
        y = to_y;
        first = false;
    }
    fputs("\"/>\n", p->to);
    line_at(p, x, y, x, fmin(y, TOP), "end"); /* below this nothing runs at all */
    take(p, (struct box){x - 2, fmin(y, TOP), x + 2, y});
    fputs("</g>\n", p->to);
}

/* Says where the line leaves the picture, beside it. */
static void beyond_put(struct plot *p) {
    const struct frontier_row *last = NULL;
    double x = LEFT;
    char text[128];
    for (size_t i = 0; i < p->f->n; i++) {
        if (!p->f->rows[i].point)
            continue;
        last = &p->f->rows[i];
        if (last->overhead_pct <= p->top)
            x = x_of(p, last->peak_bytes) + 8;
    }
    if (!last || last->overhead_pct <= p->top)
        return;
    snprintf(text, sizeof text, "on to %.4g %s at +%.3g %%", last->peak_bytes / p->unit_bytes, p->unit_name,
             last->overhead_pct);
    text_at(p, x, TOP + 15, "dim", "start", 11, text);
    take(p, (struct box){x, TOP, x + (double)strlen(text) * LABEL_CHAR, TOP + 20});
}

static void tip_put(const struct plot *p, const struct frontier_row *row) {
    fputs("<title>", p->to);
    text_put(p, row->strategies);
    fprintf(p->to, ": %.4g %s, +%.3g %%</title>", row->peak_bytes / p->unit_bytes, p->unit_name, row->overhead_pct);
}

static void dot_put(struct plot *p, const struct frontier_row *row, const char *class, double r) {
    const double x = x_of(p, row->peak_bytes), y = y_of(p, row->overhead_pct);
    fprintf(p->to, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" class=\"%s\">", x, y, r, class);
    tip_put(p, row);
    fputs("</circle>\n", p->to);
    take(p, (struct box){x - r - 1, y - r - 1, x + r + 1, y + r + 1});
}

static void dots_put(struct plot *p) {
    size_t points = 0;
    for (size_t i = 0; i < p->f->n; i++)
        points += p->f->rows[i].point;
    for (size_t i = 0; i < p->f->n; i++) {
        const struct frontier_row *row = &p->f->rows[i];
        if (row->overhead_pct > p->top)
            continue;
        if (row->named)
            dot_put(p, row, "named", DOT);
        else if (points <= POINTS_AS_DOTS)
            dot_put(p, row, "point", DOT - 1);
        if (row->knee)
            dot_put(p, row, "knee", DOT + 3);
    }
}

/* Whether a line from a dot to (x1, y1) meets nothing on its way: looked at every few pixels, beyond the dot. */
static bool is_clear(const struct plot *p, double x0, double y0, double x1, double y1) {
    const double length = hypot(x1 - x0, y1 - y0);
    for (double at = 2 * DOT; at < length - 1; at += 3) {
        const double x = x0 + (x1 - x0) * at / length, y = y0 + (y1 - y0) * at / length;
        if (!is_free(p, (struct box){x - 1, y - 1, x + 1, y + 1}))
            return false;
    }
    return true;
}

/* The line from a dot to its label; labels after it keep clear of it. */
static void lead_put(struct plot *p, double x0, double y0, double x1, double y1) {
    const double step = 0.1; /* of the longest, less than a label is high */
    line_at(p, x0, y0, x1, y1, "lead");
    for (double at = 0; at < 1; at += step) {
        const double x = x0 + (x1 - x0) * at, y = y0 + (y1 - y0) * at;
        take(p, (struct box){x - 1, y - 1, x + 1, y + 1});
    }
}

/* Beside its dot where there is room, else a little away with a line to it, else not at all: the dot has its tip. */
static void label_put(struct plot *p, const struct frontier_row *row, const char *text, const char *class) {
    static const double sides[][2] = {{1, 0}, {-1, 0}, {1, -1}, {-1, -1}, {0, -1}, {1, 1}, {-1, 1}, {0, 1}};
    static const double away[] = {8, 20, 34, 50, 70, 95};
    const double x = x_of(p, row->peak_bytes), y = y_of(p, row->overhead_pct);
    const double width = (double)strlen(text) * LABEL_CHAR + 3; /* and a little air */
    for (size_t d = 0; d < sizeof away / sizeof away[0]; d++)
        for (size_t s = 0; s < sizeof sides / sizeof sides[0]; s++) {
            const double cx = x + sides[s][0] * (away[d] + width / 2);
            const double cy = y + sides[s][1] * (away[d] + LABEL_HEIGHT / 2 - 1);
            const struct box b = {cx - width / 2, cy - LABEL_HEIGHT / 2, cx + width / 2, cy + LABEL_HEIGHT / 2};
            const double end_x = fmin(fmax(x, b.x0), b.x1), end_y = fmin(fmax(y, b.y0), b.y1);
            if (!is_free(p, b) || (d && !is_clear(p, x, y, end_x, end_y)))
                continue;
            if (d)
                lead_put(p, x, y, end_x, end_y);
            text_at(p, cx, cy + 4, class, "middle", 11, text);
            take(p, b);
            return;
        }
}

/* The knee and names alone come first: they are what is looked for. */
static void labels_put(struct plot *p) {
    for (int turn = 0; turn < 3; turn++)
        for (size_t i = 0; i < p->f->n; i++) {
            const struct frontier_row *row = &p->f->rows[i];
            if (row->overhead_pct > p->top)
                continue;
            if (turn == 0 && row->knee && !row->named)
                label_put(p, row, "knee", "kneetext");
            if (turn > 0 && row->named && row->plain == (turn == 1))
                label_put(p, row, row->label, "ink");
        }
}

bool rematctl_svg_write(const struct frontier *f, FILE *to) {
    struct plot p = {.to = to, .f = f, .most_taken = 16 * f->n + 16};
    p.taken = calloc(p.most_taken, sizeof *p.taken);
    if (!p.taken || !f->n) {
        free(p.taken);
        return false;
    }
    scales_make(&p);
    head_put(&p);
    subtitle_put(&p);
    legend_put(&p);
    axes_put(&p);
    frontier_put(&p);
    beyond_put(&p);
    dots_put(&p);
    labels_put(&p);
    fputs("</svg>\n", to);
    free(p.taken);
    return fflush(to) == 0 && !ferror(to);
}
