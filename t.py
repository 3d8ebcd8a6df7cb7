import sys; sys.path.insert(0,'/work/wt/board/examples/yolov5')
import make_model, onnx, numpy as np, onnxruntime as ort,time
from detection.decode import *; from detection.letterbox import *
from skimage import data
t=time.time(); m=make_model.build(320); print(time.time()-t); onnx.checker.check_model(m,full_check=True)
print(sum(int(np.prod(t.dims)) for t in m.graph.initializer if len(t.dims)>1 or t.dims[0]!=4))
s=ort.InferenceSession(m.SerializeToString())
for p in (data.astronaut(), data.coffee(),data.cat(),data.rocket()):
    sq,pl=letterbox(p,320); o=s.run(None,{'images':sq.transpose(2,0,1)[None].astype('f4')/255})
    b,sc,k=candidates(o,320); st=suppress(b,sc,k); print([(round(float(x.std()),3)) for x in o],len(b),len(st),np.sort(sc)[-5:])
