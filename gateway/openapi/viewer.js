// Shows /openapi.json. Nothing is sent to another host: no validator, no link in the URL to another document.
SwaggerUIBundle({
  dom_id: "#viewer",
  url: "/openapi.json",
  validatorUrl: null,
  queryConfigEnabled: false,
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  tagsSorter: "none",
  requestSnippetsEnabled: true,
  withCredentials: false,
});
