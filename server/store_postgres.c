/* stub */
#include "server/store_private.h"
const struct store_kind store_postgres = {0};
