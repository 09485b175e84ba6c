const place = document.getElementById("live");
const stream = new EventSource("/events");
stream.onmessage = (event) => { place.textContent = event.data; };
stream.onerror = () => { stream.close(); place.textContent += "\nThe stream was closed."; };
