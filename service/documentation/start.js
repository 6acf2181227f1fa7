// A separate file, because the content security policy allows no inline script.
/* global SwaggerUIBundle */
SwaggerUIBundle({ url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true });
