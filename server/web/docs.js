// docs.js - starts Swagger UI over this daemon's own document, asking this daemon, with the token that the page keeps.
"use strict";

const token = (() => {
  try { return sessionStorage.getItem("token"); } catch { return null; /* storage is forbidden */ }
})();
const signed = (request) => {
  if (token && !request.headers.Authorization) request.headers.Authorization = `Bearer ${token}`;
  return request;
};
fetch("/openapi.json", signed({ headers: {} })).then((response) => response.json()).then((spec) => {
  spec.servers = [{ url: location.origin }];
  SwaggerUIBundle({ spec, dom_id: "#swagger", deepLinking: true, validatorUrl: null, docExpansion: "list", defaultModelsExpandDepth: 0, requestInterceptor: signed });
});
