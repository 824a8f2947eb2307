"""The report page's style sheet: light and dark, print, small screens."""

CSS = """
:root{color-scheme:light dark;--paper:#f6f5f1;--card:#fff;--ink:#22262c;--soft:#5d6570;
--line:#e3e1da;--lead:#0072b2;--tie:#56b4e9;--quiet:#b9c0ca;--pos:#e66101;--neg:#5e3c99;
--tint:#eaf3f9;--shade:0 1px 2px #0000000d,0 8px 24px #0000000a}
@media (prefers-color-scheme:dark){:root{--paper:#15171a;--card:#1e2125;--ink:#eceae5;
--soft:#a4abb5;--line:#33373d;--lead:#4aa8e0;--tie:#7cc6f0;--quiet:#59616c;--pos:#f58a3c;
--neg:#a58bd8;--tint:#1b2b36;--shade:none}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{max-width:1000px;margin:0 auto;padding:40px 24px 64px}
h1{font-size:30px;line-height:1.2;letter-spacing:-.02em;margin:0 0 6px}
h2{font-size:15px;font-weight:600;color:var(--soft);margin:0 0 6px;overflow-wrap:anywhere}
h3{font-size:17px;margin:32px 0 4px}
p{margin:0 0 8px}.soft{color:var(--soft)}.small{font-size:14px}
.meaning{background:var(--tint);border-left:4px solid var(--lead);border-radius:0 10px 10px 0;
padding:12px 18px;margin:22px 0 28px;max-width:760px}
.warning{border-color:var(--pos);background:var(--card);margin-top:0;overflow-wrap:anywhere}
.card{background:var(--card);border:1px solid var(--line);border-radius:16px;padding:28px;
margin:0 0 28px;box-shadow:var(--shade)}
.overview{display:grid;grid-template-columns:repeat(auto-fill,minmax(250px,1fr));gap:14px;
padding:0;margin:0 0 28px;list-style:none}
.overview a{display:flex;gap:12px;align-items:center;background:var(--card);color:inherit;
border:1px solid var(--line);border-radius:12px;padding:10px;text-decoration:none;height:100%}
.overview a:hover,.overview a:focus-visible{border-color:var(--lead)}
.overview img{width:56px;height:56px;object-fit:cover;border-radius:8px;flex:none}
.overview b{display:block;line-height:1.3;overflow-wrap:anywhere}
.overview small{color:var(--soft);overflow-wrap:anywhere}
.intro{display:flex;gap:28px;align-items:center}
.intro img{width:220px;flex:none;border-radius:12px;display:block}
.intro>div{min-width:0}
.verdict{font-size:23px;line-height:1.35;letter-spacing:-.01em;margin:0 0 12px;
overflow-wrap:anywhere}
.verdict strong{color:var(--lead)}
blockquote{margin:0;padding-left:14px;border-left:3px solid var(--line);color:var(--soft);
overflow-wrap:anywhere;white-space:pre-wrap}
table{width:100%;border-collapse:collapse;margin-top:10px;font-variant-numeric:tabular-nums}
th{font-size:13px;font-weight:500;color:var(--soft);text-align:left;padding:4px 8px;
border-bottom:1px solid var(--line);white-space:nowrap}
td{padding:7px 8px;border-bottom:1px solid var(--line);white-space:nowrap}
tbody tr:last-child td,tbody tr:last-child th{border-bottom:0}
tbody th{font-size:16px;color:var(--ink);white-space:normal;overflow-wrap:break-word;
max-width:220px}
.n{text-align:right}tr.lead th,tr.lead .n{font-weight:700}
td.bar{width:42%;min-width:150px}.bar svg{display:block;width:100%;height:26px;overflow:visible}
.fill{fill:var(--quiet)}.lead .fill{fill:var(--lead)}.tie .fill{fill:var(--tie)}
.null{display:block;width:100%;height:64px;margin:4px 0}
.null .cut{stroke:var(--ink);stroke-width:1.5;stroke-dasharray:4 3}
.null .mark{stroke:var(--lead);stroke-width:3;fill:var(--lead)}
.whisker{stroke:var(--ink);stroke-width:1.5}.zero{stroke:var(--soft);stroke-width:1}
.maps{display:grid;grid-template-columns:repeat(auto-fill,minmax(200px,1fr));gap:18px;
margin-top:14px}
figure{margin:0}.intro img,.maps img,.overview img{box-shadow:0 0 0 1px var(--line)}
figure img{width:100%;display:block;border-radius:10px}
figcaption{display:flex;justify-content:space-between;gap:10px;padding-top:6px;font-size:14px}
figcaption b{overflow-wrap:anywhere}figcaption span{color:var(--soft);white-space:nowrap}
.legend{width:min(380px,100%);margin-top:18px;font-size:13px}
.legend img{display:block;width:100%;height:12px}
.legend i{display:block;height:12px;border-radius:6px}
.legend div{display:flex;justify-content:space-between;font-variant-numeric:tabular-nums}
.waves{display:grid;grid-template-columns:repeat(auto-fill,minmax(200px,1fr));gap:18px;
margin-top:14px}
.waves svg{width:100%;height:72px;display:block;border-bottom:1px solid var(--line)}
.waves .up{fill:var(--pos)}.waves .down{fill:var(--neg)}
.sheets{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(400px,100%),1fr));gap:18px}
.ends{display:flex;justify-content:space-between;font-size:12px;color:var(--soft)}
summary{cursor:pointer;font-weight:600}
dl{display:grid;grid-template-columns:minmax(130px,auto) 1fr;gap:4px 20px;margin:14px 0 0;
font-size:14px}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
dd small{display:block;color:var(--soft)}
@media (max-width:640px){main{padding:24px 12px}.card{padding:18px}.intro{display:block}
.intro img{margin-bottom:16px}.opt{display:none}
td.bar{width:auto;min-width:90px}thead th{white-space:normal;vertical-align:bottom}
tbody th{max-width:110px}.maps,.waves{grid-template-columns:1fr 1fr}.maps figcaption{display:block}
.maps figcaption span{display:block}}
@media print{.card{break-inside:avoid;box-shadow:none}}
"""
