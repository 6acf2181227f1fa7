// A file of its own, because the page's policy allows no script within it.
SwaggerUIBundle({ url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true });
